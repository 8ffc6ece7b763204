import pytest

from sockudo_py.endpoints import ChannelFilter, Endpoint, LambdaTarget, ProfileName, Secret
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from tests.unit.webhooks.make import endpoint

FUNCTION = LambdaTarget("f", "us-east-1")
NO_FUNCTIONS = EndpointRules(functions="boto3 is not installed; install it")


def problems(target: Endpoint, rules: EndpointRules | None = None) -> list[str]:
    found = endpoint_problems(target) if rules is None else endpoint_problems(target, rules)
    assert all(line.startswith("app app-1: webhook wh_1: ") for line in found)
    return [line.removeprefix("app app-1: webhook wh_1: ") for line in found]


@pytest.mark.parametrize("profile", ["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx"])
def test_an_ordinary_endpoint_has_no_problem(profile: ProfileName) -> None:
    assert problems(endpoint(profile=profile)) == []


def test_a_function_instead_of_a_url_has_no_problem_where_functions_can_be_invoked() -> None:
    assert problems(endpoint(function=FUNCTION)) == []
    assert problems(endpoint(function=FUNCTION), NO_FUNCTIONS) == ["lambda: boto3 is not installed; install it"]


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        (FUNCTION, {"f"}),
        (FUNCTION, {"us-east-1:f"}),
        (LambdaTarget("f", "us-east-1", qualifier="live"), {"f:live"}),
        (LambdaTarget("arn:aws:lambda:us-east-1:123456789012:function:f", "us-east-1"), None),
    ],
)
def test_who_is_not_trusted_invokes_only_functions_that_the_operator_allows(
    function: LambdaTarget, allowed: set[str] | None
) -> None:
    mine, strangers = endpoint(function=function), endpoint(function=function, trusted=False)
    assert problems(mine) == []
    assert problems(strangers, EndpointRules(allowed_functions=allowed or {function.function_name})) == []
    others = {"F", "g", "f:other", "eu-west-1:f", "us-east-1:f:x", "arn:aws:lambda:us-east-1:123456789012:function:g"}
    for wrong in (EndpointRules(), EndpointRules(allowed_functions=others)):
        (line,) = problems(strangers, wrong)
        assert line.startswith("lambda.function_name: is none of webhooks.security.allowed_functions")


def test_there_must_be_somewhere_to_send_to() -> None:
    assert problems(endpoint(url=None)) == ["give exactly one of url, lambda and feed"]


def test_the_url_is_looked_at_under_the_operators_rules() -> None:
    rules = EndpointRules(require_https=True, allowed_ports=(443,))
    assert problems(endpoint(), rules) == [
        "url: must begin with https://",
        "url: port 80 is not among the allowed ports",
    ]


def test_an_endpoint_can_demand_https_itself() -> None:
    assert problems(endpoint(require_https=True)) == ["url: must begin with https://"]


def test_every_mistake_is_named_at_once() -> None:
    target = endpoint(
        url="ftp://x/",
        headers=(("Host", "evil"),),
        filter=ChannelFilter(channel_pattern="("),
        profile="pulse",
        secrets=(),
    )
    found = problems(target)
    assert [line.partition(":")[0] for line in found] == [
        "url",
        "headers.Host",
        "filter.channel_pattern",
        "profile pulse",
    ]


@pytest.mark.parametrize("profile", ["pulse", "realcast", "remotedevai", "irisx", "standard"])
def test_a_profile_that_signs_with_the_endpoints_secret_needs_one(profile: ProfileName) -> None:
    [problem] = problems(endpoint(profile=profile, secrets=(Secret("only an old one", expires_at=1.0),)))
    assert problem.startswith(f"profile {profile}: secret is missing")


def test_a_pusher_endpoint_signs_with_the_key_of_its_app() -> None:
    assert problems(endpoint(secrets=())) == []
    assert problems(endpoint(app_keys=())) == ["profile pusher: the app has no key to sign with"]


def test_a_standard_secret_has_a_form_and_is_not_repeated() -> None:
    [problem] = problems(endpoint(profile="standard", secrets=(Secret("whsec_aHVzaA=="),)))
    assert problem.startswith("profile standard: secret: 4 bytes long; 24 to 64 are needed (whsec_ and 24 to 64 bytes")


@pytest.mark.parametrize(("first", "second"), [("pulse", "remotedevai"), ("pusher", "sockudo"), ("pulse", "pulse")])
def test_two_profiles_can_not_set_the_same_header(first: ProfileName, second: ProfileName) -> None:
    found = problems(endpoint(profile=first, also_sign=(second,)))
    assert any("that another profile of this endpoint sets too" in line for line in found)


def test_a_custom_profile_needs_the_name_of_its_header() -> None:
    assert problems(endpoint(profile="custom")) == ["profile custom: signature_header is missing"]
    assert problems(endpoint(profile="custom", signature_header="X-Mine")) == []
    assert len(problems(endpoint(profile="custom", signature_header="Content-Length"))) == 1


def test_the_name_that_the_operator_gave_is_used_in_messages() -> None:
    [problem] = endpoint_problems(endpoint(name="billing", url=None))
    assert problem == "app app-1: webhook billing: give exactly one of url, lambda and feed"


@pytest.mark.parametrize(
    "name",
    [
        "sockudoEventHandler",
        "my-fn_1",
        "fn:PROD",
        "fn:$LATEST",
        "123456789012:function:fn",
        "arn:aws:lambda:eu-central-1:123456789012:function:fn",
        "arn:aws-cn:lambda:eu-central-1:123456789012:function:fn:PROD",
    ],
)
def test_a_function_is_named_as_aws_names_it(name: str) -> None:
    assert problems(endpoint(function=LambdaTarget(name, "eu-central-1", qualifier="PROD"))) == []


def test_an_arn_of_another_region_is_refused() -> None:
    name = "arn:aws:lambda:us-east-1:123456789012:function:fn"
    assert problems(endpoint(function=LambdaTarget(name, "eu-central-1"))) == [
        "lambda.region: eu-central-1, but the ARN of the function says us-east-1"
    ]


@pytest.mark.parametrize("name", ["", "a" * 65, "fn:a:b", "fn/../x", "fn name", "fn?Qualifier=1", "arn:aws:s3:::fn"])
def test_what_is_no_function_name_is_refused(name: str) -> None:
    assert problems(endpoint(function=LambdaTarget(name, "us-east-1"))) == [
        "lambda.function_name: not the name or ARN of a function"
    ]


def test_a_function_that_aws_could_not_have_is_refused() -> None:
    assert problems(endpoint(function=LambdaTarget("../x", "http://evil/", qualifier="a b"))) == [
        "lambda.function_name: not the name or ARN of a function",
        "lambda.region: not an AWS region, as us-east-1",
        "lambda.qualifier: not a version or alias",
    ]
