"""Keys over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Query, Router, Status

from governance import services
from governance.models import ApiKey
from governance.schemas import Call, KeyIn, KeyOut, NewKeyOut, Page, PageQuery, page

keys = Router(tags=["keys"])


@keys.get("", response=Page[KeyOut], operation_id="list_keys")
def list_keys(request: Call, query: Query[PageQuery]) -> Any:
    """The tenant's API keys, newest first. Of the credentials themselves only the prefix is known."""
    rows = ApiKey.objects.of(request.auth.tenant).page("-id", after=query.after(UUID), limit=query.limit)
    return page(rows, limit=query.limit, key="id")


@keys.post("", response={201: NewKeyOut}, operation_id="create_key")
def create_key(request: Call, payload: KeyIn) -> Any:
    """Make a key. Its token is in this answer and nowhere else."""
    key, token = services.create_key(tenant=request.auth.tenant, by=request.auth.name, **payload.dict())
    return Status(201, NewKeyOut(**KeyOut.from_orm(key).dict(), token=token))


@keys.get("/{uuid:key_id}", response=KeyOut, operation_id="get_key")
def get_key(request: Call, key_id: UUID) -> Any:
    return ApiKey.objects.of(request.auth.tenant).one(key_id)


@keys.delete("/{uuid:key_id}", response={204: None}, operation_id="revoke_key")
def revoke_key(request: Call, key_id: UUID) -> Any:
    """Make a key useless within a second. Doing it again changes nothing."""
    services.revoke_key(tenant=request.auth.tenant, key_id=key_id, by=request.auth.name)
    return Status(204, None)
