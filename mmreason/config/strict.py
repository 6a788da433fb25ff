"""The base of every settings model: frozen, unknown keys refused with the nearest known one."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mmreason.errors import UserError, nearest


class Strict(BaseModel):
    """Frozen settings whose fields carry a docstring each; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Model = TypeVar("Model", bound=Strict)


def _known_at(model: type[BaseModel], where: tuple[Any, ...]) -> list[str]:
    """Field names of the settings model that the error location points into."""
    for step in where:
        field = model.model_fields.get(str(step))
        if field is None:
            continue  # a list index or a dictionary key
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return list(model.model_fields)


def validate(model: type[Model], values: Any, origin: str) -> Model:
    """Build `model` from plain values; every problem in one UserError that names `origin` and the keys."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(step) for step in problem["loc"]) or "(top)"
            if problem["type"] == "extra_forbidden":
                last = str(problem["loc"][-1])
                lines.append(f"unknown key {key!r}{nearest(last, _known_at(model, problem['loc'][:-1]))}")
            else:
                lines.append(f"{key}: {problem['msg']} (found {problem['input']!r})")
        raise UserError(f"{origin}: " + "; ".join(lines)) from None
