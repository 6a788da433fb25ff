"""Advantage estimators, surrogates, regularisers, reducers: one small file each."""
