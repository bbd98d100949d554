"""What the keys of a recipe may be, and the part of a recipe that a method adds."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator


def _no_twins(values):
    if len(set(values)) < len(values):
        raise ValueError(f"Must not name anything twice. Received: {values}")
    return values


def _six_digits(value):
    if float(f"{value:g}") != value:
        raise ValueError(
            "Must have at most six digits, since it is part of a folder's name. "
            f"Received: {value}. Write {value:g}"
        )
    return value


T = TypeVar("T")
Several = Annotated[list[T], Field(min_length=1), AfterValidator(_no_twins)]
Short = AfterValidator(_six_digits)
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Part(BaseModel):
    """Some keys of a recipe, checked when they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value, info):
        """Raise for truth values, which Python would take for 1 and 0."""
        inside = value if isinstance(value, list) else [value]
        wanted = cls.model_fields[info.field_name].annotation
        if wanted is not bool and any(isinstance(one, bool) for one in inside):
            raise ValueError(
                "Must not be a bool, as yes, no, on and off are in YAML. "
                f"Received: {value}"
            )
        return value
