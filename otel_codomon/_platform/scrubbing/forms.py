"""The shapes that secrets have: one row for each form, with the text that announces it.

A row is looked for only where one of its hints is in the text, so that a text
without secrets costs a few searches, and a pattern that is never needed is
never compiled. No pattern can backtrack: each quantifier is followed by
something that its own characters cannot match, or by nothing.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error, a2b_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.gate import compiled, has_digits_and_letters, has_long_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon._platform.scrubbing.gate import Span

# Where a token may begin: after what is no part of one, after a percent-encoded
# character, or after an escaped line break.
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])|(?<=\\[nrt]))"
_END: Final = r"(?![A-Za-z0-9])"
_MIN_DISTINCT: Final = 15  # different characters in 40 random ones of base64


def _is_random(text: str) -> bool:
    """Whether it has digits, both cases, and too many different characters for a path."""
    return (
        has_digits_and_letters(text)
        and text.lower() != text != text.upper()
        and len(set(text)) >= _MIN_DISTINCT
        and text.count("/") <= 3  # noqa: PLR2004 - a path of 40 characters has more
    )


def _is_user_and_password(text: str) -> bool:
    """Whether it is base64 of ``user:password``."""
    try:
        return b":" in a2b_base64(text + "=" * (-len(text) % 4))
    except Base64Error:
        return False


@dataclass(frozen=True, slots=True)
class Form:
    """One form of secret.

    Attributes:
        name: What it is, for a person.
        hints: It can only be in a text that has one of these, in this case.
        pattern: Matches it.
        group: The part of the match that is the secret; 0 for all of it.
        accept: Whether what was matched is one after all; None for always.
        prefix: What it begins with; a text that was cut may end in the first
            characters of one.
    """

    name: str
    hints: tuple[str, ...]
    pattern: str
    group: int = 0
    accept: Callable[[str], bool] | None = None
    prefix: str = ""

    def spans(self, text: str) -> Iterator[Span]:
        """Where it stands in *text*, which has one of its hints."""
        for match in compiled(self.pattern).finditer(text):
            if self.accept is None or self.accept(match[self.group]):
                yield match.span(self.group)

    def cut_span(self, text: str) -> Span | None:
        """Where *text* ends in the beginning of one; None where it does not."""
        at = text.rfind(self.prefix)
        is_begun = at >= 0 and compiled(rf"{_START}[\w.~+/=-]+\Z").match(text, at)
        return (at, len(text)) if is_begun else None


def _token(
    name: str, prefix: str, rest: str, *, accept: Callable[[str], bool] | None = None
) -> Form:
    """The row of a token that begins with *prefix* and goes on as *rest* says."""
    pattern = f"{_START}{re.escape(prefix)}{rest}"
    return Form(name, (prefix,), pattern, accept=accept, prefix=prefix)


# Who gives out the token, its prefix, and what follows.
_PREFIXES: Final = (
    ("GitHub personal token", "ghp_", r"\w{20,}"),
    ("GitHub OAuth token", "gho_", r"\w{20,}"),
    ("GitHub user token", "ghu_", r"\w{20,}"),
    ("GitHub server token", "ghs_", r"\w{20,}"),
    ("GitHub refresh token", "ghr_", r"\w{20,}"),
    ("GitHub fine-grained token", "github_pat_", r"\w{20,}"),
    ("GitLab personal token", "glpat-", r"[\w.-]{16,}"),
    ("GitLab deploy token", "gldt-", r"[\w.-]{16,}"),
    ("GitLab runner token", "glrt-", r"[\w.-]{16,}"),
    ("GitLab pipeline trigger", "glptt-", r"[\w.-]{16,}"),
    ("GitLab feed token", "glft-", r"[\w.-]{16,}"),
    ("GitLab SCIM token", "glsoat-", r"[\w.-]{16,}"),
    ("GitLab agent token", "glagent-", r"[\w.-]{16,}"),
    ("GitLab job token", "glcbt-", r"[\w.-]{16,}"),
    ("GitLab mail token", "glimt-", r"[\w.-]{16,}"),
    ("GitLab OAuth secret", "gloas-", r"[\w.-]{16,}"),
    ("GitLab registration token", "GR1348941", r"[\w-]{16,}"),
    ("AWS access key", "AKIA", rf"[0-9A-Z]{{16}}{_END}"),
    ("AWS temporary access key", "ASIA", rf"[0-9A-Z]{{16}}{_END}"),
    ("AWS bearer key", "ABIA", rf"[0-9A-Z]{{16}}{_END}"),
    ("AWS Bedrock key", "ABSK", r"[A-Za-z0-9+/=]{40,}"),
    ("Alibaba access key", "LTAI", rf"[A-Za-z0-9]{{16,26}}{_END}"),
    ("Google API key", "AIza", r"[\w-]{30,}"),
    ("Google access token", "ya29.", r"[\w.-]{20,}"),
    ("Google client secret", "GOCSPX-", r"[\w-]{20,}"),
    ("Google refresh token", "1//0", r"[\w-]{30,}"),
    ("Slack bot token", "xoxb-", r"[\w-]{10,}"),
    ("Slack user token", "xoxp-", r"[\w-]{10,}"),
    ("Slack legacy token", "xoxa-", r"[\w-]{10,}"),
    ("Slack session token", "xoxs-", r"[\w-]{10,}"),
    ("Slack client token", "xoxc-", r"[\w-]{10,}"),
    ("Slack refresh token", "xoxr-", r"[\w-]{10,}"),
    ("Slack configuration token", "xoxe", r"[.-][\w.-]{10,}"),
    ("Slack app token", "xapp-", r"[\w-]{10,}"),
    ("Stripe live secret key", "sk_live_", r"\w{10,}"),
    ("Stripe test secret key", "sk_test_", r"\w{10,}"),
    ("Stripe live restricted key", "rk_live_", r"\w{10,}"),
    ("Stripe test restricted key", "rk_test_", r"\w{10,}"),
    ("Stripe webhook secret", "whsec_", r"[\w+/=-]{16,}"),
    ("Hugging Face token", "hf_", rf"[A-Za-z]{{30,}}{_END}"),
    ("Hugging Face organization token", "api_org_", rf"[A-Za-z]{{30,}}{_END}"),
    ("SendGrid key", "SG.", r"[\w-]{16,}\.[\w-]{16,}"),
    ("Brevo key", "xkeysib-", r"[0-9a-f]{40,}[\w-]*"),
    ("Mailgun key", "key-", rf"[0-9a-f]{{32}}{_END}"),
    ("Vault service token", "hvs.", r"[\w-]{20,}"),
    ("Vault batch token", "hvb.", r"[\w-]{20,}"),
    ("Vault recovery token", "hvr.", r"[\w-]{20,}"),
    ("DigitalOcean personal token", "dop_v1_", r"[0-9a-f]{32,}"),
    ("DigitalOcean OAuth token", "doo_v1_", r"[0-9a-f]{32,}"),
    ("DigitalOcean refresh token", "dor_v1_", r"[0-9a-f]{32,}"),
    ("Twilio API key", "SK", rf"[0-9a-f]{{32}}{_END}"),
    ("Twilio account", "AC", rf"[0-9a-f]{{32}}{_END}"),
    ("Grafana service account token", "glsa_", r"\w{20,}"),
    ("Grafana Cloud token", "glc_", r"[\w+/=-]{20,}"),
    ("npm token", "npm_", r"[A-Za-z0-9]{30,}"),
    ("PyPI token", "pypi-", r"[\w-]{30,}"),
    ("Docker personal token", "dckr_pat_", r"[\w-]{20,}"),
    ("Docker organization token", "dckr_oat_", r"[\w-]{20,}"),
    ("Databricks token", "dapi", rf"[0-9a-f]{{32}}(?:-\d)?{_END}"),
    ("Square access token", "sq0atp-", r"[\w-]{20,}"),
    ("Square secret", "sq0csp-", r"[\w-]{20,}"),
    ("Square token", "EAAA", r"[\w-]{60}"),
    ("Shopify access token", "shpat_", r"[0-9a-fA-F]{32,}"),
    ("Shopify custom app token", "shpca_", r"[0-9a-fA-F]{32,}"),
    ("Shopify private app password", "shppa_", r"[0-9a-fA-F]{32,}"),
    ("Shopify shared secret", "shpss_", r"[0-9a-fA-F]{32,}"),
    ("New Relic user key", "NRAK-", r"[A-Z0-9]{20,}"),
    ("New Relic insert key", "NRII-", r"[\w-]{20,}"),
    ("New Relic admin key", "NRRA-", r"[0-9a-f]{20,}"),
    ("New Relic browser key", "NRJS-", r"[0-9a-f]{19}"),
    ("Linear API key", "lin_api_", r"\w{20,}"),
    ("Linear OAuth token", "lin_oauth_", r"\w{20,}"),
    ("Atlassian API token", "ATATT3", r"[\w=-]{20,}"),
    ("Atlassian app token", "ATCTT3", r"[\w=-]{20,}"),
    ("Bitbucket app password", "ATBB", rf"[A-Za-z0-9]{{20,}}{_END}"),
    ("Heroku key", "HRKU-", r"[\w-]{30,}"),
    ("age secret key", "AGE-SECRET-KEY-1", r"[0-9A-Za-z]{20,}"),
    ("Telegram bot in an address", "/bot", r"\d{6,12}:[\w-]{30,}"),
    ("Dynatrace token", "dt0c01.", r"[A-Z0-9]{20,}\.[A-Z0-9]{20,}"),
    ("Dropbox token", "sl.", r"[\w-]{60,}"),
    ("Figma token", "figd_", r"[\w-]{30,}"),
    ("Postman key", "PMAK-", r"[0-9a-f]{20,}-[0-9a-f]{30,}"),
    ("Pulumi token", "pul-", rf"[0-9a-f]{{40}}{_END}"),
    ("PlanetScale token", "pscale_tkn_", r"[\w.=-]{20,}"),
    ("PlanetScale password", "pscale_pw_", r"[\w.=-]{20,}"),
    ("RubyGems key", "rubygems_", r"[0-9a-f]{40,}"),
    ("crates.io token", "cio", rf"[A-Za-z0-9]{{32}}{_END}"),
    ("NuGet key", "oy2", rf"[a-z0-9]{{43}}{_END}"),
    ("Sentry user token", "sntryu_", r"[0-9a-f]{40,}"),
    ("Sentry organization token", "sntrys_", r"[\w+/=-]{40,}"),
    ("Doppler token", "dp.", r"(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,}"),
    ("Sonar token", "sq", r"[uap]_[0-9a-f]{40}"),
    ("Notion token", "ntn_", rf"[A-Za-z0-9]{{30,}}{_END}"),
    ("Supabase key", "sb_secret_", r"[\w-]{20,}"),
    ("Supabase token", "sbp_", r"[0-9a-f]{40}"),
    ("Netlify token", "nfp_", r"[A-Za-z0-9]{30,}"),
    ("Fly.io token", "fm2_", r"[\w+/=-]{40,}"),
    ("Groq key", "gsk_", r"[A-Za-z0-9]{30,}"),
    ("xAI key", "xai-", r"[A-Za-z0-9]{30,}"),
    ("Replicate token", "r8_", r"[A-Za-z0-9]{30,}"),
    ("Perplexity key", "pplx-", r"[A-Za-z0-9]{30,}"),
    ("NVIDIA key", "nvapi-", r"[\w-]{30,}"),
    ("LangSmith key", "lsv2_", r"(?:pt|sk)_[0-9a-f]{32}\w*"),
    ("Tailscale key", "tskey-", r"[\w-]{20,}"),
    ("Airtable token", "pat", r"\w{14}\.[0-9a-f]{64}"),
    ("1Password service account", "ops_eyJ", r"[\w=-]{40,}"),
    ("Prefect key", "pnu_", r"[A-Za-z0-9]{30,}"),
    ("EasyPost key", "EZAK", r"\w{30,}"),
    ("Shippo token", "shippo_live_", r"[0-9a-f]{30,}"),
    ("Plaid token", "access-production-", r"[0-9a-f-]{30,}"),
    ("Contentful token", "CFPAT-", r"[\w-]{30,}"),
    ("Infracost key", "ico-", r"\w{32}"),
    ("OpenShift token", "sha256~", r"[\w-]{40,}"),
    ("JFrog key", "AKCp", r"[A-Za-z0-9]{50,}"),
    ("Facebook token", "EAAC", r"[A-Za-z0-9]{40,}"),
    ("Mapbox secret token", "sk.eyJ", r"[\w-]{20,}\.[\w-]{10,}"),
)

TOKENS: Final[tuple[Form, ...]] = (
    *(_token(name, prefix, rest) for name, prefix, rest in _PREFIXES),
    # OpenAI's, Anthropic's and others' that are made like them.
    _token("OpenAI or Anthropic key", "sk-", r"[\w-]{16,}", accept=has_digits_and_letters),
    _token("Vault legacy token", "s.", rf"[A-Za-z0-9]{{24}}{_END}", accept=_is_random),
)
"""Single words, with a long run of characters in them."""

SHAPES: Final[tuple[Form, ...]] = (
    Form(
        "private key",
        ("PRIVATE KEY",),
        r"(?s)-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----"
        r".*?(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    Form(
        "PuTTY key",
        ("Private-Lines:",),
        r"(?s)Private-Lines: ?\d{1,6}\s(.*?)(?:Private-(?:MAC|Hash):|\Z)",
        1,
    ),
    Form(
        "JSON Web Token",
        ("eyJ",),
        rf"{_START}eyJ[\w-]{{8,1024}}(?:\.[\w-]{{8,}}(?:\.[\w-]*)*|\.\Z)",
    ),
    Form("Grafana key", ("eyJrIjoi",), rf"{_START}eyJrIjoi[\w+/=-]{{30,}}"),
    Form(
        "AWS secret key",
        ("",),
        r"(?<![\w/+=.-])[A-Za-z0-9/+]{40}(?![\w/+=.-])",
        accept=_is_random,
    ),
    Form("Azure storage key", ("==",), r"(?<![\w/+=-])[A-Za-z0-9/+]{86}==(?![\w/+=])"),
    Form("Azure client secret", ("Q~",), r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~-])"),
    Form("Azure DevOps token", ("AZDO",), r"(?<!\w)[A-Za-z0-9]{52,76}AZDO[A-Za-z0-9]{4}"),
    Form(
        "Telegram bot token",
        (":",),
        r"(?<![\w.-])\d{8,10}:[\w-]{35}(?![\w-])",
        accept=has_digits_and_letters,
    ),
    Form(
        "Mailgun signing key",
        ("-",),
        r"(?<![\w-])[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![\w-])",
    ),
    Form("Mailchimp key", ("-us",), r"(?<!\w)[0-9a-f]{32}-us\d{1,2}(?!\w)"),
    Form("New Relic license key", ("NRAL",), r"(?<!\w)[0-9a-f]{36}NRAL(?!\w)"),
    Form("Terraform token", (".atlasv1.",), r"(?<!\w)\w{14}\.atlasv1\.[\w-]{40,}"),
    Form(
        "password hash",
        ("$",),
        r"\$(?:2[abxy]|1|5|6|y|apr1|argon2(?:id?|d))\$[\w./$=,+-]{20,}",
    ),
    Form(
        "bearer token",
        ("earer", "EARER"),
        r"(?i)\bbearer(?:[ \t]|%20|\+){1,4}([\w.~+/=-]{8,})",
        1,
        accept=has_digits_and_letters,
    ),
    Form(
        "basic credentials",
        ("asic", "ASIC"),
        r"(?i)\bbasic(?:[ \t]|%20|\+){1,4}([A-Za-z0-9+/_-]{6,}={0,2})",
        1,
        accept=_is_user_and_password,
    ),
    Form(
        "negotiated credentials",
        ("egotiate ", "NTLM "),
        r"\b(?:[Nn]egotiate|NTLM)[ \t]{1,4}([A-Za-z0-9+/]{16,}={0,2})",
        1,
    ),
    Form(
        "signed request of AWS",
        ("AWS4-HMAC-SHA256",),
        r"AWS4-HMAC-SHA256[ \t]{1,4}(Credential=[^\r\n\"'<>]+)",
        1,
    ),
    Form(
        "digest credentials",
        ("igest username", "igest realm", "igest response"),
        r"\b[Dd]igest[ \t]{1,4}((?:username|realm|response)=[^\r\n<>]+)",
        1,
    ),
    Form("Slack webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/\w{1,32}/([\w/-]+)", 1),
    Form(
        "Discord webhook",
        ("/api/webhooks/",),
        r"discord(?:app)?\.com/api/(?:v\d{1,3}/)?webhooks/(\d{1,32}/[\w-]+)",
        1,
    ),
    Form(
        "Teams webhook",
        (".office.com/webhook",),
        r"\.office\.com/webhookb?2?/([\w@/.-]+)",
        1,
    ),
    Form("Zapier webhook", ("hooks.zapier.com/",), r"hooks\.zapier\.com/hooks/catch/([\w/-]+)", 1),
    Form("IFTTT webhook", ("maker.ifttt.com/",), r"ifttt\.com/[\w/.-]{0,128}/key/([\w-]+)", 1),
    Form(
        "password in netrc",
        ("password",),
        r"\b(?:machine\s{1,8}\S{1,256}|default)\s{1,8}login\s{1,8}\S{1,256}\s{1,8}password\s{1,8}(\S+)",
        1,
    ),
    Form(
        "secure string of PowerShell",
        ("SecureString",),
        r"SecureString\s{1,8}(?:-String\s{1,8})?[\"']([^\"']+)",
        1,
    ),
    Form(
        "password in SQL",
        ("'",),
        r"(?i)\b(?:identified\s{1,8}(?:with\s{1,8}\w{1,64}\s{1,8})?(?:by|as)|password)"
        r"\s{1,8}'((?:[^'\\]|\\.|'')+)",
        1,
    ),
    Form(
        "password of Oracle",
        ("sqlplus",),
        r"\bsqlplus\s{1,8}(?:-\w{1,16}\s{1,8}){0,4}[\w$#.]{1,64}/([^\s@]+)",
        1,
    ),
    Form(
        "password in an address of Oracle",
        ("jdbc:oracle:",),
        r"jdbc:oracle:\w{1,16}:[\w$#.]{1,64}/([^\s@]{1,128})@",
        1,
    ),
)
FORMS: Final = (*TOKENS, *SHAPES)
_OF_ANY_WORD: Final = tuple((hint, form) for form in SHAPES for hint in form.hints)
_OF_LONG_WORDS: Final = tuple((form.prefix, form) for form in TOKENS) + _OF_ANY_WORD


def form_spans(text: str, *, is_cut: bool) -> Iterator[Span]:
    """Where secrets of any form stand in *text*; where it was cut, also one that it ends in."""
    hinted = _OF_LONG_WORDS if has_long_run(text) else _OF_ANY_WORD
    for form in [form for hint, form in hinted if hint in text]:
        yield from form.spans(text)
    if is_cut:
        yield from filter(None, (form.cut_span(text) for form in TOKENS))
