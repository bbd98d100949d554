"""Why a file was rejected, in one line."""

import pytest

from keras_invprune.exporting.ways_out import reason

OPENVINO = """Exception from src/inference/src/cpp/core.cpp:84:
Check 'false' failed at src/frontends/src/unconverted_ops_report.cpp:151:
FrontEnd API failed with OpConversionFailure:
-- LookupTableFindV2 with a message:
Exception from src/core/include/openvino/core/type/element_type.hpp:256:
Unknown type

"""
ONNX = "10 : INVALID_GRAPH : Load model from /my files/.tried/6eb4 failed:No Op LookUp."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError(OPENVINO),
            "FrontEnd API failed with OpConversionFailure: -- LookupTableFindV2 with a "
            "message: Unknown type",
        ),
        (ValueError(ONNX), "10 : INVALID_GRAPH : No Op LookUp"),
        (KeyError("output_0"), "KeyError: 'output_0'"),
    ],
)
def test_a_reason_is_one_line_of_what_the_user_can_know(error, expected):
    assert reason("openvino", error) == expected
