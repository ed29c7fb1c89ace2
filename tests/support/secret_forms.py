"""Every form of secret once: what must be taken out, and what is like it and must stay.

The secrets are made up here, piece by piece: no whole token stands in this
file, so that nobody's scanner takes it for a leak.
"""

from __future__ import annotations

import base64
import itertools
import random
import string
from dataclasses import dataclass
from typing import Final

_HEX: Final = "0123456789abcdef"
_ALNUM: Final = string.ascii_letters + string.digits


_numbers = itertools.count()


def _drawn(alphabet: str, count: int) -> str:
    """*count* characters of their own; with a digit and both cases where there are."""
    draw = random.Random(next(_numbers))  # the same at each run
    text = "".join(draw.choice(alphabet) for _ in range(count - 3))
    return text + "".join(c for c in ("7", "c", "C") if c in alphabet).ljust(3, alphabet[1])


def hexed(count: int) -> str:
    """Hexadecimal digits."""
    return _drawn(_HEX, count)


def alnum(count: int) -> str:
    """Letters and digits."""
    return _drawn(_ALNUM, count)


def upper(count: int) -> str:
    """Capital letters and digits."""
    return _drawn(string.ascii_uppercase + string.digits, count)


def small(count: int) -> str:
    """Small letters and digits."""
    return _drawn(string.ascii_lowercase + string.digits, count)


def letters(count: int) -> str:
    """Letters only."""
    return _drawn(string.ascii_letters, count)


_PEM: Final = "\n".join(alnum(64) for _ in range(4))
_JWT: Final = f"eyJ{alnum(30)}.eyJ{alnum(40)}.{alnum(43)}"
_BASIC: Final = base64.b64encode(b"me:correct horse").decode()

# Name of the form -> the secret, and a text that is like one and is none.
TOKENS: Final[dict[str, tuple[str, str]]] = {
    "GitHub personal token": ("ghp" + "_" + alnum(36), "the prefix ghp_ is GitHub's"),
    "GitHub OAuth token": ("gho" + "_" + alnum(36), "gho_short"),
    "GitHub user token": ("ghu" + "_" + alnum(36), "ghu_short"),
    "GitHub server token": ("ghs" + "_" + alnum(36), "highs_and_lows_of_the_year_2026"),
    "GitHub refresh token": ("ghr" + "_" + alnum(36), "ghr_short"),
    "GitHub fine-grained token": ("github" + "_pat_" + alnum(40), "github_pat_"),
    "GitLab personal token": ("glpat" + "-" + alnum(20), "glpat-short"),
    "GitLab deploy token": ("gldt" + "-" + alnum(20), "gldt-short"),
    "GitLab runner token": ("glrt" + "-" + alnum(20), "glrt-short"),
    "GitLab pipeline trigger": ("glptt" + "-" + hexed(40), "glptt-short"),
    "GitLab feed token": ("glft" + "-" + alnum(20), "glft-short"),
    "GitLab SCIM token": ("glsoat" + "-" + alnum(20), "glsoat-short"),
    "GitLab agent token": ("glagent" + "-" + alnum(50), "glagent-short"),
    "GitLab job token": ("glcbt" + "-1_" + alnum(20), "glcbt-short"),
    "GitLab mail token": ("glimt" + "-" + alnum(25), "glimt-short"),
    "GitLab OAuth secret": ("gloas" + "-" + hexed(64), "gloas-short"),
    "GitLab registration token": ("GR13489" + "41" + alnum(20), "GR1348941"),
    "AWS access key": ("AKIA" + upper(16), "AKIAN is a name"),
    "AWS temporary access key": ("ASIA" + upper(16), "ASIA and EUROPE, ASIANMARKETS"),
    "AWS bearer key": ("ABIA" + upper(16), "ABIA State"),
    "AWS Bedrock key": ("ABSK" + alnum(60), "ABSK"),
    "Alibaba access key": ("LTAI" + alnum(20), "LTAI5t"),
    "Google API key": ("AIza" + alnum(35), "AIza is their prefix"),
    "Google access token": ("ya29" + "." + alnum(60), "ya29.short"),
    "Google client secret": ("GOCSPX" + "-" + alnum(28), "GOCSPX-short"),
    "Google refresh token": ("1/" + "/0" + alnum(40), "a ratio of 1//0"),
    "Slack bot token": ("xoxb" + "-" + "123456789012-" + alnum(24), "xoxb-x"),
    "Slack user token": ("xoxp" + "-" + "123456789012-" + alnum(24), "xoxp-x"),
    "Slack legacy token": ("xoxa" + "-2-" + alnum(24), "xoxa-x"),
    "Slack session token": ("xoxs" + "-" + alnum(24), "xoxs-x"),
    "Slack client token": ("xoxc" + "-" + alnum(24), "xoxc-x"),
    "Slack refresh token": ("xoxr" + "-" + alnum(24), "xoxr-x"),
    "Slack configuration token": ("xoxe" + "-1-" + alnum(40), "xoxe-x"),
    "Slack app token": ("xapp" + "-1-A0-" + alnum(40), "xapp-x"),
    "Stripe live secret key": ("sk" + "_live_" + alnum(24), "sk_live_"),
    "Stripe test secret key": ("sk" + "_test_" + alnum(24), "sk_test_x"),
    "Stripe live restricted key": ("rk" + "_live_" + alnum(24), "rk_live_x"),
    "Stripe test restricted key": ("rk" + "_test_" + alnum(24), "mark_test_results_as_seen"),
    "Stripe webhook secret": ("whsec" + "_" + alnum(32), "whsec_short"),
    "Hugging Face token": ("hf" + "_" + letters(34), "hf_model_of_the_year_for_all_of_us"),
    "Hugging Face organization token": ("api" + "_org_" + letters(34), "api_org_members_list"),
    "SendGrid key": ("SG" + "." + alnum(22) + "." + alnum(43), "SG.Singapore.Street"),
    "Brevo key": ("xkeysib" + "-" + hexed(64) + "-" + alnum(16), "xkeysib-short"),
    "Mailgun key": ("key" + "-" + hexed(32), "key-value-store-for-everybody-here"),
    "Mailgun signing key": (f"{hexed(32)}-{hexed(8)}-{hexed(8)}", f"{hexed(8)}-{hexed(4)}"),
    "Mailchimp key": (hexed(32) + "-us12", "the-us12"),
    "Vault service token": ("hvs" + "." + alnum(90), "hvs.short"),
    "Vault batch token": ("hvb" + "." + alnum(90), "hvb.short"),
    "Vault recovery token": ("hvr" + "." + alnum(90), "hvr.short"),
    "Vault legacy token": ("s" + "." + alnum(24), "s.connection_to_the_database()"),
    "DigitalOcean personal token": ("dop" + "_v1_" + hexed(64), "dop_v1_x"),
    "DigitalOcean OAuth token": ("doo" + "_v1_" + hexed(64), "doo_v1_x"),
    "DigitalOcean refresh token": ("dor" + "_v1_" + hexed(64), "dor_v1_x"),
    "Twilio API key": ("SK" + hexed(32), "SK" + hexed(8)),
    "Twilio account": ("AC" + hexed(32), "AC" + hexed(8)),
    "Grafana service account token": ("glsa" + "_" + alnum(32) + "_" + hexed(8), "glsa_short"),
    "Grafana Cloud token": ("glc" + "_" + alnum(60), "glc_short"),
    "Grafana key": ("eyJr" + "Ijoi" + alnum(60), "eyJrIjoi"),
    "npm token": ("npm" + "_" + alnum(36), "npm_config_registry_of_the_whole_company"),
    "PyPI token": ("pypi" + "-AgEI" + alnum(80), "pypi-mirror"),
    "Docker personal token": ("dckr" + "_pat_" + alnum(27), "dckr_pat_"),
    "Docker organization token": ("dckr" + "_oat_" + alnum(27), "dckr_oat_"),
    "Databricks token": ("dapi" + hexed(32) + "-2", "dapi"),
    "Square access token": ("sq0" + "atp-" + alnum(22), "sq0atp-"),
    "Square secret": ("sq0" + "csp-" + alnum(43), "sq0csp-"),
    "Square token": ("EAAA" + alnum(60), "EAAAA"),
    "Shopify access token": ("shpat" + "_" + hexed(32), "shpat_x"),
    "Shopify custom app token": ("shpca" + "_" + hexed(32), "shpca_x"),
    "Shopify private app password": ("shppa" + "_" + hexed(32), "shppa_x"),
    "Shopify shared secret": ("shpss" + "_" + hexed(32), "shpss_x"),
    "New Relic user key": ("NRAK" + "-" + upper(27), "NRAK-X"),
    "New Relic insert key": ("NRII" + "-" + alnum(32), "NRII-X"),
    "New Relic admin key": ("NRRA" + "-" + hexed(42), "NRRA-X"),
    "New Relic browser key": ("NRJS" + "-" + hexed(19), "NRJS-X"),
    "New Relic license key": (hexed(36) + "NRAL", "the NRAL"),
    "Linear API key": ("lin" + "_api_" + alnum(40), "lin_api_x"),
    "Linear OAuth token": ("lin" + "_oauth_" + hexed(64), "lin_oauth_x"),
    "Atlassian API token": ("ATATT" + "3" + alnum(180), "ATATT3"),
    "Atlassian app token": ("ATCTT" + "3" + alnum(180), "ATCTT3"),
    "Bitbucket app password": ("ATBB" + alnum(32), "ATBB"),
    "Heroku key": ("HRKU" + "-AA" + alnum(58), "HRKU-X"),
    "age secret key": ("AGE-SECRET" + "-KEY-1" + upper(58), "AGE-SECRET-KEY-1"),
    "Telegram bot in an address": ("/bot" + "123456789:" + alnum(35), "/bot12"),
    "Telegram bot token": ("123456789:" + alnum(35), "12:34:56"),
    "Dynatrace token": ("dt0c01" + "." + upper(24) + "." + upper(64), "dt0c01.X"),
    "Dropbox token": ("sl" + "." + alnum(135), "sl.wikipedia.org"),
    "Figma token": ("figd" + "_" + alnum(40), "figd_x"),
    "Postman key": ("PMAK" + "-" + hexed(24) + "-" + hexed(34), "PMAK-x"),
    "Pulumi token": ("pul" + "-" + hexed(40), "pul-x"),
    "PlanetScale token": ("pscale" + "_tkn_" + alnum(43), "pscale_tkn_"),
    "PlanetScale password": ("pscale" + "_pw_" + alnum(43), "pscale_pw_"),
    "RubyGems key": ("rubygems" + "_" + hexed(48), "rubygems_update"),
    "crates.io token": ("cio" + alnum(32), "ciolek"),
    "NuGet key": ("oy2" + small(43), "oy2"),
    "Sentry user token": ("sntryu" + "_" + hexed(64), "sntryu_x"),
    "Sentry organization token": ("sntrys" + "_" + alnum(100), "sntrys_x"),
    "Doppler token": ("dp" + ".pt." + alnum(43), "dp.start.of.the.loop"),
    "Sonar token": ("sq" + "u_" + hexed(40), "squ_x"),
    "Notion token": ("ntn" + "_" + alnum(46), "ntn_x"),
    "Supabase key": ("sb" + "_secret_" + alnum(31), "sb_secret_"),
    "Supabase token": ("sbp" + "_" + hexed(40), "sbp_x"),
    "Netlify token": ("nfp" + "_" + alnum(36), "nfp_x"),
    "Fly.io token": ("fm2" + "_" + alnum(100), "fm2_x"),
    "Groq key": ("gsk" + "_" + alnum(52), "gsk_x"),
    "xAI key": ("xai" + "-" + alnum(80), "xai-x"),
    "Replicate token": ("r8" + "_" + alnum(37), "r8_x"),
    "Perplexity key": ("pplx" + "-" + alnum(48), "pplx-x"),
    "NVIDIA key": ("nvapi" + "-" + alnum(64), "nvapi-x"),
    "LangSmith key": ("lsv2" + "_pt_" + hexed(32) + "_" + hexed(10), "lsv2_x"),
    "Tailscale key": ("tskey" + "-auth-" + alnum(30), "tskey-x"),
    "Airtable token": ("pat" + alnum(14) + "." + hexed(64), "pattern.of.the.year"),
    "1Password service account": ("ops" + "_eyJ" + alnum(200), "ops_eyJ"),
    "Prefect key": ("pnu" + "_" + alnum(36), "pnu_x"),
    "EasyPost key": ("EZAK" + alnum(54), "EZAK"),
    "Shippo token": ("shippo" + "_live_" + hexed(40), "shippo_live_"),
    "Plaid token": ("access" + f"-production-{hexed(8)}-{hexed(27)}", "access-production-tier"),
    "Contentful token": ("CFPAT" + "-" + alnum(43), "CFPAT-X"),
    "Infracost key": ("ico" + "-" + alnum(32), "ico-x"),
    "OpenShift token": ("sha256" + "~" + alnum(43), "sha256~x"),
    "JFrog key": ("AKCp" + alnum(69), "AKCp"),
    "Facebook token": ("EAAC" + alnum(100), "EAAC"),
    "Mapbox secret token": ("sk" + ".eyJ" + alnum(60) + "." + alnum(22), "sk.eyJ"),
    "OpenAI or Anthropic key": ("sk" + "-ant-api03-" + alnum(80), "sk-fading-circle-container"),
    "private key": (
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_PEM}\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ),
    "PuTTY key": (
        f"Private-Lines: 4\n{_PEM}\nPrivate-MAC: {hexed(64)}",
        "Public-Lines: 4\nAAAAB3Nza",
    ),
    "JSON Web Token": (_JWT, "eyJ is base64 of {"),
    "AWS secret key": (alnum(40), hexed(40)),
    "Azure storage key": (alnum(86) + "==", f"sha512-{alnum(86)}=="),
    "Azure client secret": (alnum(3) + "8Q~" + alnum(34), "Q~"),
    "Azure DevOps token": (alnum(76) + "AZDO" + alnum(4), "AZDO"),
    "Terraform token": (alnum(14) + ".atlasv1." + alnum(60), "x.atlasv1.x"),
    "password hash": ("$2b$12$" + alnum(53), "$2b or not $2b"),
    "bearer token": ("Bearer " + alnum(30), "Bearer of bad news"),
    "basic credentials": ("Basic " + _BASIC, "Basic knowledge of arithmetic"),
    "negotiated credentials": ("Negotiate " + alnum(40), "Negotiate peace"),
    "signed request of AWS": (
        f"AWS4-HMAC-SHA256 Credential={upper(20)}/2026/x, Signature={hexed(64)}",
        "AWS4-HMAC-SHA256 is an algorithm",
    ),
    "digest credentials": (
        f'Digest username="me", response="{hexed(32)}"',
        "Digest of the week",
    ),
    "Slack webhook": (
        f"https://hooks.slack.com/services/T{upper(8)}/B{upper(8)}/{alnum(24)}",
        "https://api.slack.com/messaging/webhooks",
    ),
    "Discord webhook": (
        f"https://discord.com/api/webhooks/123456789012345678/{alnum(68)}",
        "https://discord.com/developers/docs/resources/webhook",
    ),
    "Teams webhook": (
        f"https://x.webhook.office.com/webhookb2/{hexed(36)}@{hexed(36)}/IncomingWebhook/{hexed(32)}",
        "https://www.office.com/webhook",
    ),
    "Zapier webhook": (
        f"https://hooks.zapier.com/hooks/catch/1234567/{small(7)}/",
        "https://zapier.com/apps/webhook",
    ),
    "IFTTT webhook": (
        f"https://maker.ifttt.com/trigger/x/with/key/{alnum(43)}",
        "https://ifttt.com/maker_webhooks",
    ),
    "password in netrc": (
        "machine h login me password correct-horse",
        "login and password are needed",
    ),
    "secure string of PowerShell": (
        'ConvertTo-SecureString "correct-horse" -AsPlainText',
        "a SecureString is a class",
    ),
    "password in SQL": (
        "CREATE USER me IDENTIFIED BY 'correct horse'",
        "the user is identified by name",
    ),
    "password of Oracle": ("sqlplus me/correct-horse@db", "sqlplus -V"),
    "password in an address of Oracle": (
        "jdbc:oracle:thin:me/correct-horse@db:1521",
        "jdbc:oracle:thin:@db:1521",
    ),
}


@dataclass(frozen=True)
class Notation:
    """A way of writing a secret beside its name; ``{}`` is the secret."""

    name: str
    text: str


NOTATIONS: Final = tuple(
    Notation(*pair)
    for pair in (
        ("assignment", "password={}"),
        ("assignment with spaces", "secret = {}"),
        ("short name", "pass={}"),
        ("shorter name", "Uid=me;Pwd={};"),
        ("name with a prefix", "dbpassword={}"),
        ("name in camel case", "clientSecret: {}"),
        ("an environment's key", "export STRIPE_KEY={}"),
        ("an environment's pass", "DB_PASS={} ./run"),
        ("an environment's pwd", "MYSQL_PWD={}"),
        ("an environment's pat", "GITHUB_PAT={}"),
        ("an environment's token", "set TOKEN_PROD={}"),
        ("an environment's auth", "REDISCLI_AUTH={}"),
        ("a numbered name", "API_KEY_2={}"),
        ("Java property", "-Ddb.password={}"),
        ("option with equals", "login --password={} now"),
        ("option in two words", "login --password {} now"),
        ("option with one dash", "keytool -storepass {} -list"),
        ("option of curl", "curl -u me:{} http://host"),
        ("long option of curl", "curl --proxy-user me:{} http://host"),
        ("option of mysql", "mysql -u root -p{} db"),
        ("option of sshpass", "sshpass -p {} ssh host"),
        ("option of redis-cli", "redis-cli -a {} ping"),
        ("option of docker login", "docker login -u me -p {} registry"),
        ("header option", 'curl --header "Authorization: Token {}" http://host'),
        ("header of a key", "curl -H 'X-Api-Key: {}' http://host"),
        ("pass phrase of openssl", "openssl rsa -passin pass:{}"),
        ("Dockerfile", "ENV API_TOKEN {}"),
        ("fish", "set -x GITHUB_TOKEN {}"),
        ("aws configure", "aws configure set aws_secret_access_key {}"),
        ("npmrc", "//packages.example/:_authToken={}"),
        ("JSON", '{{"password": "{}"}}'),
        ("JSON without spaces", '{{"user":"me","apiKey":"{}"}}'),
        ("JSON in JSON", '{{"body": "{{\\"password\\": \\"{}\\"}}"}}'),
        ("JSON in JSON in JSON", '"{{\\\\\\"token\\\\\\": \\\\\\"{}\\\\\\"}}"'),
        ("JSON list", '{{"tokens": ["first", "{}"]}}'),
        ("JSON pair", '{{"name": "DB_PASSWORD", "value": "{}"}}'),
        ("JSON with escaped quotes", "{{\\u0022secret\\u0022: \\u0022{}\\u0022}}"),
        ("Python dict", "{{'api_key': '{}'}}"),
        ("Python bytes", "{{'secret': b'{}'}}"),
        ("Python call", "connect(user='me', password='{}')"),
        ("Python tuple", "[('Authorization', '{}')]"),
        ("Python bytes tuple", "(b'authorization', b'{}')"),
        ("Python list of arguments", "['curl', '--password', '{}']"),
        ("Python environment", "os.environ['API_TOKEN'] = '{}'"),
        ("Ruby hash", ":password => '{}'"),
        ("Go", 'token := "{}"'),
        ("Go address", "me:{}@tcp(127.0.0.1:3306)/db"),
        ("Python annotation", 'token: str = "{}"'),
        ("Rust", 'let token: String = "{}".into();'),
        ("Java call", 'config.setPassword("{}")'),
        ("two-word name", "api key: {}"),
        ("sentence", "the token is {}"),
        ("sentence with a mark", "using token '{}' now"),
        ("YAML on the next line", "password:\n  {}\nuser: me"),
        ("XML parameter", '<param name="token">{}</param>'),
        ("percent-encoded twice", "password%253D{}"),
        ("address with an encoded user", "smtp://me%40example.org:{}@mail:587"),
        ("cookie option of curl", "curl -b session={} http://host"),
        ("YAML", "password: {}"),
        ("YAML list", "passwords:\n  - first\n  - {}\nuser: me"),
        ("YAML flow list", "tokens: [first, {}]"),
        ("YAML block", "secret: |\n  line\n  {}\nuser: me"),
        ("YAML list in one line", '{{"file": "passwords:\\n  - first\\n  - {}\\nuser: me"}}'),
        ("YAML block in one line", '{{"file": "secret: |\\n  line\\n  {}\\nuser: me"}}'),
        ("YAML pair in one line", "'- name: DB_PASSWORD\\n  value: {}'"),
        ("YAML pair", "- name: DB_PASSWORD\n  value: {}"),
        ("XML element", "<config><password>{}</password></config>"),
        ("XML element with attributes", '<s:password type="text">{}</s:password>'),
        ("XML data", "<secret><![CDATA[{}]]></secret>"),
        ("XML attribute", '<user name="me" password="{}"/>'),
        ("XML pair", '<add key="ApiKey" value="{}"/>'),
        ("HTML entities", "password=&quot;{}&quot;"),
        ("percent-encoded", "body=user%3Dme%26password%3D{}%26page%3D2"),
        ("percent-encoded JSON", "%7B%22token%22%3A%22{}%22%7D"),
        ("query", "http://host/path?access_token={}&page=2"),
        ("signature in a query", "https://h.blob.core.windows.net/c?sv=2022&sig={}&se=2026"),
        ("signature of AWS", "https://b.s3.amazonaws.com/k?X-Amz-Signature={}"),
        ("signature of Google", "https://storage.googleapis.com/b?X-Goog-Signature={}"),
        ("key in a query", "https://maps.googleapis.com/api?key={}&v=3"),
        ("form", "user=me&pw={}&go=1"),
        ("Authorization: Basic", "Authorization: Basic {}"),
        ("Authorization: Digest", 'Authorization: Digest username="me", response="{}"'),
        ("Authorization: Negotiate", "Authorization: Negotiate {}"),
        ("Authorization: Token", "authorization: token {}"),
        ("Authorization: ApiKey", "Authorization: ApiKey {}"),
        ("Authorization: AWS4", "Authorization: AWS4-HMAC-SHA256 Credential=x, Signature={}"),
        ("Authorization without a scheme", "Authorization: {}"),
        ("Proxy-Authorization", "Proxy-Authorization: Basic {}"),
        ("Authorization in a header variable", "authorization=Bearer%20{}"),
        ("first cookie", "Cookie: sid={}; theme=dark"),
        ("second cookie", "Cookie: theme=dark; sid={}"),
        ("cookie that is set", "Set-Cookie: sid={}; HttpOnly"),
        ("cookie of CGI", "HTTP_COOKIE=theme=dark; sid={}"),
        ("cookie option", "curl -H 'Cookie: a=b; sid={}' http://host"),
        ("address", "postgres://me:{}@host/db"),
        ("address with a slash in the password", "postgres://me:a/{}@host/db"),
        ("address with an at sign in the password", "amqp://me:a@{}@host/vhost"),
        ("address with a question mark", "redis://me:a?{}@host/0"),
        ("address with a user only", "https://{}@github.com/me/repo.git"),
        ("address of Sentry", "https://{}@o1.ingest.sentry.io/2"),
        ("address without a user", "redis://:{}@host:6379"),
        ("address in JSON", '{{"url": "https:\\/\\/me:{}@host\\/path"}}'),
        ("address, percent-encoded", "next=https%3A%2F%2Fme%3A{}%40host"),
        ("address without a scheme", "push to me:{}@registry.example.com:5000"),
        ("connection string of JDBC", "jdbc:postgresql://host/db?user=me&password={}"),
        ("connection string of Azure", "DefaultEndpointsProtocol=https;AccountKey={};Suffix=x"),
        ("connection string of ODBC", "Server=tcp:h;Uid=me;Password={};"),
        ("coloured", "\x1b[31mpassword\x1b[0m=x \x1b[1mtoken={}"),
        ("after an escaped line break", "first\\npassword={}"),
        ("quoted with spaces", 'password="two words {} more"'),
        ("quoted with a quote", 'password="a\\"{}"'),
        ("cut quote", 'password="{}'),
        ("with marks inside", "password=a,b;c&d)e{}"),
    )
)

ORDINARY: Final = (
    "the author wrote 3 tokens",
    "exit code: 3",
    "http://host:80/path",
    "http://host:8080/@me/notes",
    "https://packages.example/package/@scope/name",
    "see https://medium.com/@somebody/a-title-of-some-length-12345",
    "git@github.com:me/repo.git",
    "ssh://git@github.com/me/repo.git",
    "postgres://host:5432/db",
    "mail me at somebody@example.com, or at mailto:somebody@example.com",
    "docker run -p 8080:80 python:3.11-slim@sha256:" + hexed(64),
    "a=b; c: d",
    "key: value",
    "primary_key=17 sort_keys=True cache_key: users/17",
    "PWD=/root/work OLDPWD=/root",
    "mkdir -p /tmp/some/place && ssh -p 2222 host && cp -u a b",
    "token = next(tokens)",
    "token = self.tokens[0]",
    "tokens = [token for token in line.split()]",
    "password = getpass.getpass()",
    "login(password=password)",
    "def login(user: str, password: str) -> None:",
    "def read(token: Token, secret: Optional[bytes] = None) -> bool:",
    "import secrets; value = secrets.token_hex(16)",
    "self.token = token",
    "cache.read(token, pwd=None):",
    "prompt='Password: ', stream=None",
    'print("token=" + repr(raw))',
    "token = name[len(prefix):]",
    "self._token: Token[Context] | None = None",
    "class TokenError(Exception):\n    pass",
    '{"auth": "none", "password": "required"}',
    "the token is valid, the password is too short",
    "if token is None: raise ValueError('no token')",
    "password: ********",
    "password=${DB_PASSWORD}",
    "token: <hidden>",
    "max_tokens=4096, tokens: 17, token_count=3, token_type: bearer_of_news",
    "secretName: my-app",
    "password_file=/run/secrets/db",
    "unexpected token: end of file",
    "PASS: test_of_everything",
    "pass: 12, fail: 0",
    "password is required; the password must have 8 characters",
    "--password is an option",
    "bypass=yes compass: north",
    "List<Token> tokens = new ArrayList<>();",
    f"commit {hexed(40)}",
    "id 0f8fad5b-d9cb-469f-a165-70867728950e",
    f"sha256:{hexed(64)}",
    f"data:image/png;base64,{alnum(400)}==",
    "traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    '  File "/usr/lib/python3.11/site-packages/module/file.py", line 17, in call',
    "2026-11-26 01:02:03,456 INFO worker-17: done in 3.2 s (rc=0)",
    "signature = inspect.signature(function)",
    "Set of keys: a, b, c",
    "session_id=session-42",
    "it ended with exit code 3",
    "SELECT id FROM users WHERE name = 'me'",
    "x" * 5000,
)
