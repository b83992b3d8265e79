"""Settings, each an environment variable with the prefix ``MODERATION_`` (or a line in ``.env``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    webhook_url: str = Field("", description="Where decisions are sent; empty: nowhere.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs what is sent there: `whsec_` and at least 24 bytes in base64.",
        json_schema_extra={"shown": ""},
    )

    @field_validator("webhook_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("is not an address that begins with https:// or http://")
        return value


def wrong_settings(error: ValidationError) -> list[str]:
    """What is wrong with each setting, by the name of its variable and without its value."""
    return [
        f"MODERATION_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    ]
