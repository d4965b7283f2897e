"""EC2's wire format, by the service model that comes with botocore: parameters in, a reply out."""

from __future__ import annotations

from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict


@cache
def operation(name: str) -> Any:
    """Return the model of an action."""
    return get_service_model("ec2").operation_model(name)


def read(name: str, form: dict[str, str]) -> dict[str, Any]:
    """Return the parameters of a request as boto3 has them."""
    parser = PROTOCOL_PARSERS["ec2"](operation(name))
    given: dict[str, Any] = parser.parse({"values": MultiDict(form), "headers": {}, "body": "", "method": "POST"})
    return given


def reply(name: str, result: dict[str, Any]) -> str:
    """Return the body of an answer; a key that the model does not have is an error of ours."""
    shape = operation(name).output_shape
    inner = _written(shape, result) if shape is not None else "<return>true</return>"
    return f'<{name}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{inner}</{name}Response>'


def error(code: str, message: str) -> str:
    """Return the body of an error."""
    inner = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return f"<Response><Errors>{inner}</Errors><RequestID>emulated</RequestID></Response>"


def _written(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            return "".join(
                _tagged(shape.members[key].serialization.get("name", key), _written(shape.members[key], each))
                for key, each in value.items()
                if each is not None
            )
        case "list":
            name = shape.member.serialization.get("name", "item")
            return "".join(_tagged(name, _written(shape.member, each)) for each in value)
        case "boolean":
            return "true" if value else "false"
        case _:
            return escape(str(value))


def _tagged(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"
