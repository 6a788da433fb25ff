"""Releases in an S3-compatible store. boto3 takes endpoint, region and keys from its usual places (AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, ~/.aws); without keys, requests go unsigned, which a public bucket answers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmreason.errors import UserError, require
from mmreason.release import shelf
from mmreason.release.listing import FILE, MAX_BYTES, Entry, Release
from mmreason.release.store import Content, Found, Unreachable
from mmreason.run.progress import Tick

_CHUNK = 1 << 20
_ABSENT = ("NoSuchKey", "404", "NotFound")
_SHORT = ("InvalidRange", "416")
_DIGEST = "sha256"
"""Key of the user metadata by which a file that was sent before is known."""


def _client() -> Any:
    require("boto3", "s3", "read and write s3:// places")
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options: dict[str, Any] = {
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"total_max_attempts": 3, "mode": "standard"},
        # Other stores than Amazon's refuse the checksum trailers that boto3 adds by default.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if boto3.Session().get_credentials() is None:
        options["signature_version"] = UNSIGNED
    return boto3.client("s3", config=Config(**options))


def _code(error: Exception) -> str:
    """The store's own word for an error, empty for one of the connection."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


class S3Store:
    """A bucket and prefix that hold the revisions of one model."""

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
        if not bucket:
            raise UserError(f"{address!r} names no bucket: expected s3://bucket/prefix")
        self.bucket, self.prefix = bucket, prefix
        self.address = f"s3://{bucket}/{prefix}".rstrip("/")
        self.default_name = self.address.rsplit("/", 1)[-1]
        self.client = _client()

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the errors of boto3 into those of a place."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

        try:
            yield
        except (NoCredentialsError, NoRegionError) as error:
            raise UserError(f"{self.address}: {error}") from None
        except (ClientError, S3UploadFailedError) as error:
            if _code(error).startswith(("5", "Slow", "Internal", "ServiceUnavailable")):
                raise Unreachable(str(error)) from error
            raise UserError(f"{self.address}: the store refuses: {error}") from None
        except BotoCoreError as error:
            raise Unreachable(str(error)) from error

    def _get(self, path: str, **options: Any) -> Any:
        """The answer to a GET, None when there is no such object."""
        from botocore.exceptions import ClientError

        try:
            return self.client.get_object(Bucket=self.bucket, Key=self._key(path), **options)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise

    def _read(self, path: str) -> bytes | None:
        with self._asking():
            answer = self._get(path)
            return None if answer is None else bytes(answer["Body"].read(MAX_BYTES))

    def find(self, ref: str | None) -> Found | None:
        """See Store."""
        return shelf.find(self._read, ref, self.address)

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """See Store. Raises UserError when the object is gone."""
        with self._asking():
            answer = self._from(f"{where}/{path}", start)
            if answer is None:
                raise UserError(f"{self.address} lacks {where}/{path}, which its {FILE} lists: publish it again")
            yield from answer["Body"].iter_chunks(_CHUNK)

    def _from(self, path: str, start: int) -> Any:
        """The answer to a GET from byte `start` on, an empty one where the object is shorter."""
        from botocore.exceptions import ClientError
        from botocore.response import StreamingBody

        try:
            return self._get(path, **({"Range": f"bytes={start}-"} if start else {}))
        except ClientError as error:
            if _code(error) in _SHORT:
                return {"Body": StreamingBody(io.BytesIO(), 0)}
            raise

    def put(self, files: Mapping[str, Content], release: Release, label: str | None, tick: Tick) -> None:
        """See Store."""
        if self.find(release.revision) is None:
            for entry in release.files:
                self._send(f"{release.revision}/{entry.path}", files[entry.path], entry, tick)
            self._write(f"{release.revision}/{FILE}", release.text().encode())
        for path, data in shelf.pointers(release.revision, label):
            self._write(path, data)

    def _write(self, path: str, data: bytes) -> None:
        with self._asking():
            self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=data, ContentType="application/json")

    def _send(self, path: str, content: Content, entry: Entry, tick: Tick) -> None:
        if self._has(path, entry):
            tick(entry.size, "sent before")
            return
        where = (self.bucket, self._key(path))
        extra = {"ExtraArgs": {"Metadata": {_DIGEST: entry.sha256}}, "Callback": tick}
        with self._asking():
            if isinstance(content, bytes):
                self.client.upload_fileobj(io.BytesIO(content), *where, **extra)
            else:
                self.client.upload_file(str(content), *where, **extra)

    def _has(self, path: str, entry: Entry) -> bool:
        """Whether an earlier, broken publish sent this file already."""
        from botocore.exceptions import ClientError

        with self._asking():
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=self._key(path))
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return False
                raise
        return bool(head["ContentLength"] == entry.size and head["Metadata"].get(_DIGEST) == entry.sha256)
