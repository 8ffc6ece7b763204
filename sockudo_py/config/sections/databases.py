"""The databases that apps may be kept in."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sockudo_py.config.sections.types import (
    DatabaseHost,
    HttpUrl,
    Name,
    Port,
    PositiveMilliseconds,
    Secret,
    Section,
    Text,
)

SSLMODE = (
    "`disable`: plain text; `prefer`: TLS where the server has it, its certificate is not checked; `require`: TLS, "
    "unchecked; `verify-ca`: of an authority that is trusted; `verify-full`: and for `host`."
)
CA = "PEM file of the authorities that `verify-ca` and `verify-full` trust; null: the system's."
TIMEOUT = "Milliseconds for connecting, and for each look at the table."
TABLE = "The table, or view, with the apps; perhaps with its {what} and a dot in front."

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


def _table(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]{0,63}(\.[A-Za-z_][A-Za-z0-9_$]{0,63})?", value):
        raise ValueError('must be a name of letters, digits and "_", perhaps with another and "." in front')
    return value


def _dynamo_table(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{3,255}|arn:[A-Za-z0-9:_/.-]{10,1000}", value):
        raise ValueError('must be 3 to 255 letters, digits, "_", "-" and ".", or an ARN')
    return value


TableName = Annotated[str, AfterValidator(_table)]
DynamoTableName = Annotated[str, AfterValidator(_dynamo_table)]


class PostgresConfig(Section):
    """The PostgreSQL that the app manager `postgres` reads."""

    host: DatabaseHost = Field(default="localhost", description="Host name or address, or the folder of a Unix socket.")
    port: Port = Field(default=5432, description="Port.")
    username: Name = Field(default="postgres", description="Role. It needs SELECT on the table, and no more.")
    password: Secret | None = Field(default=None, description="Password; null: what `PGPASSWORD` or `~/.pgpass` says.")
    database: Name = Field(default="sockudo", description="Database.")
    table_name: TableName = Field(default="applications", description=TABLE.format(what="schema"))
    sslmode: SslMode = Field(default="prefer", description=SSLMODE)
    ca_path: Text | None = Field(default=None, description=CA)
    response_timeout_ms: PositiveMilliseconds = Field(default=5000, description=TIMEOUT)


class MysqlConfig(Section):
    """The MySQL or MariaDB that the app manager `mysql` reads."""

    host: DatabaseHost = Field(default="localhost", description="Host name or address.")
    port: Port = Field(default=3306, description="Port.")
    username: Name = Field(default="root", description="User. It needs SELECT on the table, and no more.")
    password: Secret | None = Field(default=None, description="Password.")
    database: Name = Field(default="sockudo", description="Database.")
    table_name: TableName = Field(default="applications", description=TABLE.format(what="database"))
    sslmode: SslMode = Field(default="prefer", description=SSLMODE)
    ca_path: Text | None = Field(default=None, description=CA)
    response_timeout_ms: PositiveMilliseconds = Field(default=5000, description=TIMEOUT)


class DynamoDbConfig(Section):
    """The DynamoDB that the app manager `dynamodb` reads."""

    region: Name = Field(default="us-east-1", description="AWS region.")
    table_name: DynamoTableName = Field(default="sockudo-applications", description="The table with the apps.")
    endpoint_url: HttpUrl | None = Field(default=None, description="Another endpoint than AWS's, for tests.")
    aws_access_key_id: Secret | None = Field(
        default=None, description="Access key; null: as AWS's tools find it (environment, profile, role)."
    )
    aws_secret_access_key: Secret | None = Field(default=None, description="The secret of the access key.")
    aws_profile_name: Name | None = Field(default=None, description="A profile of AWS's configuration files.")
    response_timeout_ms: PositiveMilliseconds = Field(
        default=60000, description="Milliseconds for a scan of the whole table."
    )
