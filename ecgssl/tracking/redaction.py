"""Errors in one line, without the secrets that their messages may carry."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

_LENGTH = 200


def one_line(error: Exception, url_variable: str, secret_variables: tuple[str, ...]) -> str:
    """Type and message of an error, cut to a line, with what is secret replaced by ``***``.

    Args:
        error: the error to describe.
        url_variable: environment variable with an address whose user name and password are secret.
        secret_variables: environment variables whose values are secret.
    """
    login = os.environ.get(url_variable, "").partition("://")[2].rpartition("@")[0]
    secrets = [os.environ.get(name, "") for name in secret_variables] + [login, login.partition(":")[2]]
    text = " ".join(str(error).split())
    # Before the cut, which could leave half a secret; the longest first, which may hold another.
    for secret in sorted(filter(None, {*secrets, *map(unquote, secrets)}), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"//[^/\s]*@", "//***@", text)
    return f"{type(error).__name__}: {text[:_LENGTH]}"
