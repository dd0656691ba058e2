"""What the service says of an error, whichever way the request came."""

from __future__ import annotations

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from streamgauge.jobs.service.database import reason
from streamgauge.models.errors import ClusterError, InputError

_log = structlog.get_logger()


def problem_of(error: Exception) -> tuple[int, str]:
    """Status of HTTP and sentence for an error.

    Raises
    ------
    Exception
        The error itself, if none of its kind is expected.
    """
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, ValidationError):
        wrong = error.errors()[0]
        return 422, f"{'.'.join(map(str, wrong['loc'])) or 'request'}: {wrong['msg']}"
    if isinstance(error, InputError):
        return 422, str(error)
    if isinstance(error, ClusterError):
        return 503, str(error)
    if isinstance(error, SQLAlchemyError):
        _log.error("the database failed", why=reason(error))
        return 503, "the database does not answer; the service tries again by itself"
    raise error
