"""Settings, each an environment variable with the prefix ``MODERATION_`` (or a line in ``.env``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from moderation.attributes import NAMES
from moderation.comments import LABELS

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = (_PACKAGE.parent / "pyproject.toml").exists()
#: Where the shipped model and the starter comments lie: the top of a checkout, or the installed package.
SHIPPED = _PACKAGE.parent if _CHECKOUT else _PACKAGE
#: Where the database and new models go: the top of a checkout, or the folder that the program was started in.
ROOT = _PACKAGE.parent if _CHECKOUT else Path.cwd()
SCOPES = ("score", "decide", "admin")  #: what an API key can be made for; admin may do everything


class Settings(BaseSettings):
    """What a newsroom may set. The README's table of settings is tested against these fields."""

    model_config = SettingsConfigDict(env_prefix="MODERATION_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    threads: int = Field(2, ge=1, le=64, description="Requests answered at the same time; the others wait.")
    waiting: int = Field(
        32, ge=0, le=10_000, description="Requests that wait while these are answered; further ones get 503 at once."
    )
    timeout_ms: int = Field(
        30_000, ge=1, le=600_000, description="Milliseconds for one request; `X-Request-Timeout-Ms` can only lower it."
    )
    grace: int = Field(20, ge=0, le=600, description="Seconds to finish accepted requests when told to stop.")
    rate_limit: str = Field(
        "30000 per minute", description="Requests of one key; `100 per second`, several with `;`, empty for no limit."
    )
    rate_limit_storage: str = Field(
        "memory://", description="Where they are counted; `redis://HOST:6379` for all processes together."
    )
    database_url: str = Field(
        f"sqlite:///{ROOT / 'instance' / 'moderation.sqlite'}",
        description="SQLAlchemy address of the database.",
        json_schema_extra={"shown": "sqlite:///instance/moderation.sqlite"},
    )
    models: Path = Field(
        ROOT / "models",
        description="Folder of the model versions.",
        json_schema_extra={"shown": "models"},
    )
    model: str = Field("", description="Model version to serve; empty follows the active one, also when that changes.")
    max_body: int = Field(16_000_000, ge=1_000, description="Largest request body in bytes; a larger one gets 413.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least grave messages that are logged."
    )
    demonstration: bool = Field(True, description="Put a few demonstration comments into an empty database.")
    audit: float = Field(
        0.01, ge=0, le=1, description="Share of the unflagged comments that joins the queue, to find what is missed."
    )
    double_review: float = Field(0.03, ge=0, le=1, description="Share of the decided that a second moderator sees.")
    lease: float = Field(600.0, ge=10, description="Seconds for which a card belongs to the moderator who has it.")
    retention: int = Field(0, ge=0, description="Days after which a stored comment is erased; 0 keeps them.")
    webhook_url: str = Field("", description="Where decisions are sent; empty: nowhere.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs what is sent there: `whsec_` and at least 24 bytes in base64.",
        json_schema_extra={"shown": ""},
    )
    perspective_aliases: dict[str, str] = Field(
        {},
        description="Which of our attributes answers for a Perspective attribute that we do not have, as JSON: "
        '`{"SEVERE_TOXICITY": "TOXICITY"}`.',
    )
    coral_secret: SecretStr = Field(
        SecretStr(""), description="Signing secret of Coral's external moderation phase; empty answers none."
    )
    coral_labels: str = Field(
        "abusive mocking off_topic", description="Labels for which Coral is told to withhold a comment."
    )
    cors_origins: str = Field(
        "",
        description="Web origins (`https://www.example.org`, separated by spaces) whose pages may call `/score` and "
        "`/v1alpha1/comments:analyze` from a browser.",
    )

    @field_validator("webhook_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("is not an address that begins with https:// or http://")
        return value

    session_hours: float = Field(12, gt=0, description="Hours after which a moderator logs in again.")
    session_idle_minutes: float = Field(60, gt=0, description="Minutes without doing anything that end a session.")
    secure_cookies: bool = Field(False, description="Send cookies over HTTPS only; set it where people use HTTPS.")

    @field_validator("perspective_aliases")
    @classmethod
    def _known_attributes(cls, value):
        unknown = sorted(set(value.values()) - set(NAMES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not one of our attributes: {', '.join(NAMES)}")
        return value

    @field_validator("coral_labels")
    @classmethod
    def _known_labels(cls, value):
        unknown = sorted(set(value.split()) - set(LABELS))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not one of the labels: {', '.join(LABELS)}")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value):
        for origin in value.split():
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"{origin!r} is not an origin: scheme, host and port, as in https://www.example.org")
        return value


def wrong_settings(error: ValidationError) -> list[str]:
    """What is wrong with each setting, by the name of its variable and without its value."""
    return [
        f"MODERATION_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    ]
