"""Every wrong call is an error that says so, and leaves the data as it was; on every server, over RESP2 and RESP3."""

import pytest

from helpers import ARITY, OURS, elements, refused

COMMANDS = ["HLL.CREATE", "HLL.ADD", "HLL.COUNT", "HLL.MERGE", "HLL.ESTIMATE", "HLL.INFO", "HLL.EXPORT", "HLL.IMPORT"]

NOT_INTEGERS = ["", "abc", "1x", "1.0", "1e1", " 1", "1 ", "0x1", "+", "-", "nan", "inf", "99999999999999999999", "1\x002", "é"]
NOT_NUMBERS = ["", "abc", "0.9x", " 0.9", "0.9 ", "nan", "-nan", "NaN", "inf", "-inf", "infinity", "1e999", "-1e999", "0.9\x00", "é"]


@pytest.fixture
def k(client):
    """A key that must survive every refusal."""
    client("HLL.CREATE", "k", "PRECISION", 10)
    client("HLL.ADD", "k", *elements(0, 100))
    return "k"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_arguments_is_an_arity_error(client, k, command):
    refused(client, command, match=ARITY)


def test_too_few_arguments_are_an_arity_error(client, k):
    for command in [("HLL.ADD", "k"), ("HLL.ADD", "new"), ("HLL.MERGE", "k"),
                    ("HLL.IMPORT", "k"), ("HLL.IMPORT", "k", "FORMAT"), ("HLL.IMPORT", "k", "FORMAT", "NATIVE")]:
        refused(client, *command, match=ARITY)
    refused(client, "HLL.ESTIMATE", 1, match=OURS)
    assert client("EXISTS", "new") == 0


def test_too_many_arguments_are_an_error(client, k):
    payload = client("HLL.EXPORT", "k")
    for command in [("HLL.INFO", "k", "k"), ("HLL.EXPORT", "k", "FORMAT", "NATIVE", "more"),
                    ("HLL.CREATE", "new", "PRECISION", 10, "HASH", "XXH3", "more"),
                    ("HLL.ESTIMATE", 1, "k", "CONFIDENCE", "0.9", "more"), ("HLL.ESTIMATE", 1, "k", "k"),
                    ("HLL.IMPORT", "new", "FORMAT", "NATIVE", payload, "REPLACE", "more")]:
        refused(client, *command, match=f"({ARITY}|{OURS})")
    assert client("EXISTS", "new") == 0


# CREATE


@pytest.mark.parametrize("value", ["3", "19", "0", "-1", "-13", "255", "256", "269", "4294967309", "18446744073709551629", *NOT_INTEGERS])
def test_create_refuses_a_precision_outside_4_to_18(client, k, value):
    text = refused(client, "HLL.CREATE", "new", "PRECISION", value)
    assert "4" in text and "18" in text
    assert client("EXISTS", "new") == 0


def test_the_text_for_a_wrong_precision_is_that_of_the_design(client):
    assert refused(client, "HLL.CREATE", "new", "PRECISION", 19) == "ERR HLL: precision must be 4 to 18, got 19"


@pytest.mark.parametrize("value", ["0", "-0.01", "-0", "0.001", "0.00148", "1e-300", "5e-324", *NOT_NUMBERS])
def test_create_refuses_an_error_that_no_precision_keeps(client, k, value):
    refused(client, "HLL.CREATE", "new", "ERROR", value)
    assert client("EXISTS", "new") == 0


@pytest.mark.parametrize("options", [
    ["PRECISION"], ["ERROR"], ["HASH"],  # incomplete
    ["PRECISION", "10", "HASH"],
    ["PRECISION", "10", "PRECISION", "10"], ["PRECISION", "10", "precision", "11"],  # repeated
    ["ERROR", "0.01", "ERROR", "0.01"], ["HASH", "XXH3", "HASH", "XXH3"],
    ["PRECISION", "10", "ERROR", "0.03"], ["ERROR", "0.03", "PRECISION", "10"],  # one or the other
    ["10"], [""], ["PRECISIO", "10"], ["PRECISIONS", "10"], ["PRECISION\x00", "10"], ["SIZE", "10"],  # unknown
    ["HASH", "MD5"], ["HASH", ""], ["HASH", "XXH"], ["HASH", "XXH3\x00"], ["HASH", "XXH33"],
    ["PRECISION", "HASH", "XXH3"],
])
def test_create_refuses_unknown_repeated_and_incomplete_options(client, k, options):
    refused(client, "HLL.CREATE", "new", *options)
    assert client("EXISTS", "new") == 0


# ESTIMATE


@pytest.mark.parametrize("value", ["0", "-1", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "2", "1000000", *NOT_INTEGERS])
def test_estimate_refuses_a_number_of_keys_that_is_not_there(client, k, value):
    refused(client, "HLL.ESTIMATE", value, "k")


def test_estimate_refuses_a_number_of_keys_that_eats_its_options(client, k):
    refused(client, "HLL.ESTIMATE", 4, "k", "CONFIDENCE", "0.9")
    refused(client, "HLL.ESTIMATE", 2, "k", "CONFIDENCE", "0.9")


@pytest.mark.parametrize("value", ["0", "1", "0.49", "0.4999999", "0.99991", "0.9999001", "1.5", "95", "-0.95", "95%", *NOT_NUMBERS])
def test_estimate_refuses_a_confidence_outside_its_range(client, k, value):
    text = refused(client, "HLL.ESTIMATE", 1, "k", "CONFIDENCE", value)
    assert "0.5" in text and "0.9999" in text


@pytest.mark.parametrize("options", [
    ["CONFIDENCE"], ["CONFIDENCE", "0.9", "CONFIDENCE", "0.9"], ["CONFIDENCE", "0.9", "CONFIDENCE"], ["CONFIDENC", "0.9"],
    ["CONFIDENCES", "0.9"], ["0.9"], [""], ["LEVEL", "0.9"],
])
def test_estimate_refuses_unknown_repeated_and_incomplete_options(client, k, options):
    refused(client, "HLL.ESTIMATE", 1, "k", *options)


def test_estimate_checks_its_arguments_before_it_looks_at_keys(client, k):
    client("SET", "s", "x")
    refused(client, "HLL.ESTIMATE", 1, "none", "CONFIDENCE", "2")
    refused(client, "HLL.ESTIMATE", 1, "s", "CONFIDENCE", "2")


# EXPORT


@pytest.mark.parametrize("options", [["FORMAT"], ["FORMAT", "JSON"], ["FORMAT", ""], ["FORMA", "NATIVE"], ["NATIVE"], [""],
                                     ["FORMAT", "NATIVE", "FORMAT"], ["FORMAT", "NATIVE", "FORMAT", "NATIVE"]])
def test_export_refuses_unknown_repeated_and_incomplete_options(client, k, options):
    refused(client, "HLL.EXPORT", "k", *options)


# IMPORT


def test_import_refuses_unknown_and_repeated_options(client, k):
    payload = client("HLL.EXPORT", "k")
    for tail in (["REPLAC"], ["REPLACES"], [""], ["NX"], ["REPLACE", "REPLACE"], ["MERGE", "MERGE"], ["REPLACE", "MERGE"], ["MERGE", "REPLACE"],
                 ["MERGE", "more"]):
        refused(client, "HLL.IMPORT", "new", "FORMAT", "NATIVE", payload, *tail)
        refused(client, "HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, *tail)
    assert client("EXISTS", "new") == 0


def test_import_refuses_an_unknown_format(client, k):
    payload = client("HLL.EXPORT", "k")
    for name in ("JSON", "", "NATIV", "NATIVES", "NATIVE\x00", "é"):
        refused(client, "HLL.IMPORT", "new", "FORMAT", name, payload)
        refused(client, "HLL.IMPORT", "k", "FORMAT", name, payload, "REPLACE")
    refused(client, "HLL.IMPORT", "new", "FORMA", "NATIVE", payload)
    assert client("EXISTS", "new") == 0


@pytest.mark.parametrize("payload", [b"", b"\x00", b"HYLL", b"x" * 7, b"\x00" * 100, b"\xff" * 100, b"\x00" * 100_000, b"%n%s%x", "é".encode()],
                         ids=lambda b: f"{len(b)} bytes {b[:4].hex()}")
def test_import_refuses_bytes_that_are_no_sketch(client, k, payload):
    for tail in ([], ["REPLACE"], ["MERGE"]):
        refused(client, "HLL.IMPORT", "new", "FORMAT", "NATIVE", payload, *tail)
        refused(client, "HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, *tail)
    assert client("EXISTS", "new") == 0


def test_an_error_is_one_short_line_whatever_the_arguments_hold(client, k):
    """User bytes in an error text can neither break the protocol nor flood a log."""
    for nasty in (b"\r\n+OK\r\n", b"\n", b"\x00\x01\x02", b"%s%s%s%n", b"A" * 100_000, bytes(range(128, 256)), b"\xf0\x9f\x92\xa9" * 300):
        for command in [("HLL.CREATE", "new", "PRECISION", nasty), ("HLL.CREATE", "new", nasty, "1"), ("HLL.CREATE", "new", "HASH", nasty),
                        ("HLL.CREATE", "new", "ERROR", nasty), ("HLL.ESTIMATE", nasty, "k"), ("HLL.ESTIMATE", 1, "k", "CONFIDENCE", nasty),
                        ("HLL.ESTIMATE", 1, "k", nasty), ("HLL.EXPORT", "k", "FORMAT", nasty), ("HLL.EXPORT", nasty), ("HLL.INFO", nasty),
                        ("HLL.IMPORT", "new", "FORMAT", nasty, "x"), ("HLL.IMPORT", "new", "FORMAT", "NATIVE", nasty)]:
            text = refused(client, *command)
            assert len(text) <= 300
            assert "\r" not in text and "\n" not in text
    assert client("PING") == "PONG"  # the replies are still in step with the commands


def test_an_unknown_command_of_the_family_is_the_servers_error(client, k):
    refused(client, "HLL.NONE", "k", match="^ERR unknown command")
