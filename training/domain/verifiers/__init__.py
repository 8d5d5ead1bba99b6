"""Verifiers: programs that check an answer, as data.

A prompt carries its checks, each a mapping with a ``kind`` and that kind's fields. One module per family of verifiers,
:mod:`training.domain.verifiers.registry` lists them all, and :mod:`training.domain.verifiers.verify` applies them.
"""
