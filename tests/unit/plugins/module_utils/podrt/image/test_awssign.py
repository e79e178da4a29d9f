# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Signatures for S3, by the examples of AWS's documentation."""

from __future__ import annotations

import calendar
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import Credentials
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.awssign import region_of, signed

# Amazon S3 API Reference, "Signature Calculations for the Authorization Header", the examples without content.
KEY = Credentials(
    "aws", access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)
NOW = calendar.timegm(time.strptime("20130524T000000Z", "%Y%m%dT%H%M%SZ"))
BUCKET = "https://examplebucket.s3.amazonaws.com"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.behaviour("B35")
@pytest.mark.parametrize(
    ("url", "more", "signature"),
    [
        (
            f"{BUCKET}/test.txt",
            {"Range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (f"{BUCKET}/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            f"{BUCKET}/?max-keys=2&prefix=J",
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["object", "lifecycle", "list"],
)
def test_the_examples_of_the_documentation(url: str, more: dict[str, str], signature: str) -> None:
    found = signed(KEY, "GET", url, NOW, more)
    names = "host;range;x-amz-content-sha256;x-amz-date" if more else "host;x-amz-content-sha256;x-amz-date"
    assert found == {
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": EMPTY,
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}",
    }


def authorization(url: str, method: str = "GET", key: Credentials = KEY, now: float = NOW) -> str:
    return signed(key, method, url, now)["Authorization"]


def test_order_spelling_and_usual_port_do_not_matter_and_the_rest_does() -> None:
    first = authorization(f"{BUCKET}/a%20b?x=1&a=%7e")
    for same in (
        f"{BUCKET}/a b?a=~&x=1",
        f"{BUCKET}:443/a%20b?x=1&a=%7E",
        f"{BUCKET.upper()[:5]}{BUCKET[5:]}/a%20b?a=~&x=1",
    ):
        assert authorization(same) == first
    others = [
        authorization(f"{BUCKET}/a%20b?x=1&a=%7e", "HEAD"),
        authorization(f"{BUCKET}:8443/a%20b?x=1&a=%7e"),
        authorization(f"{BUCKET}/a/b?x=1&a=%7e"),
        authorization(f"{BUCKET}/a%2Fb?x=1&a=%7e"),
        authorization(f"{BUCKET}/a%20b?x=1&a=%7e", now=NOW + 1),
        authorization(f"{BUCKET}/a%20b?x=1&a=%7e", key=KEY.replace(secret_key="other")),
        authorization(f"{BUCKET}/a%20b?x=1&a=%7e", key=KEY.replace(region="eu-west-1")),
    ]
    assert first not in others
    assert KEY.secret_key not in "".join((first, *others))


@pytest.mark.behaviour("B35")
@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.amazonaws.com", "us-east-1"),
        ("bucket.s3.amazonaws.com", "us-east-1"),
        ("bucket.s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("s3.us-west-2.amazonaws.com", "us-west-2"),
        ("bucket.s3-us-west-2.amazonaws.com", "us-west-2"),
        ("s3-external-1.amazonaws.com", "us-east-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("storage.example.com", "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_host_unless_it_is_configured(host: str, region: str) -> None:
    assert region_of(host) == region
    assert f"/{region}/s3/aws4_request" in authorization(f"https://{host}/x.aci")
    assert "/mars/s3/aws4_request" in authorization(f"https://{host}/x.aci", key=KEY.replace(region="mars"))
