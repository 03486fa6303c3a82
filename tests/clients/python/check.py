"""gql against the server: aiohttp for queries and mutations, websockets for subscriptions. gql checks each document by
the contract's schema before it is sent."""

import asyncio
import os
from pathlib import Path

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from graphql import build_schema
from websockets.exceptions import ConnectionClosedError

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = ROOT / "frontend-contract"
SCHEMA = build_schema((CONTRACT / "schema.graphql").read_text())
URL, SOCKET = os.environ["CARILLON_GRAPHQL"], os.environ["CARILLON_SOCKET"]
# gql finds what the server chose by one spelling of the header's name, and took an older protocol for chosen.
PROTOCOL = {"subprotocols": ["graphql-transport-ws"]}
CREDENTIAL = {"authorization": "Bearer " + os.environ["CARILLON_TOKEN"]}

WATCH = "subscription ($id: ID!) { workflowProgress(id: $id) { name state } }"
UPDATE = """mutation ($input: UpdateWorkflowInput!) {
  updateWorkflow(input: $input) { workflow { id } userErrors { code field message } }
}"""


def operation(name: str, **variables: object):
    """An operation of the contract."""
    return request((CONTRACT / "operations" / f"{name}.graphql").read_text(), **variables)


def request(text: str, **variables: object):
    made = gql(text)
    made.variable_values = variables
    return made


async def over_http() -> dict:
    """Queries and mutations; a workflow to watch comes of it."""
    async with Client(transport=AIOHTTPTransport(URL, headers=CREDENTIAL), schema=SCHEMA) as session:
        page = (await session.execute(operation("ContactsPage", first=2)))["contacts"]
        assert len(page["nodes"]) == 2 and page["pageInfo"]["hasNextPage"], page
        rest = operation("ContactsPage", first=2, after=page["pageInfo"]["endCursor"])
        behind = (await session.execute(rest))["contacts"]["nodes"]
        assert len({node["id"] for node in page["nodes"] + behind}) == 4, behind

        unnamed = operation("CreateWorkflow", input={"name": "", "definition": {}})
        refused = (await session.execute(unnamed))["createWorkflow"]
        assert refused["workflow"] is None and refused["userErrors"][0]["field"] == ["name"], refused
        named = operation("CreateWorkflow", input={"name": "Python", "definition": {}})
        made = (await session.execute(named))["createWorkflow"]
        assert made["userErrors"] == [], made
        return made["workflow"]


async def over_http_without_a_token() -> None:
    async with Client(transport=AIOHTTPTransport(URL)) as session:
        try:
            await session.execute(operation("ContactsPage", first=1))
        except TransportQueryError as error:
            assert error.errors[0]["extensions"]["code"] == "UNAUTHENTICATED", error.errors
        else:
            raise AssertionError("a stranger was answered")


async def over_a_socket(workflow: dict) -> None:
    transport = WebsocketsTransport(SOCKET, init_payload=CREDENTIAL, **PROTOCOL)
    names = []
    async with (
        Client(transport=transport, schema=SCHEMA) as watching,
        Client(transport=AIOHTTPTransport(URL, headers=CREDENTIAL), schema=SCHEMA) as changing,
    ):
        async for told in watching.subscribe(request(WATCH, id=workflow["id"])):
            names.append(told["workflowProgress"]["name"])
            if len(names) == 2:
                break
            change = {"id": workflow["id"], "version": workflow["version"], "name": "Serpent"}
            changed = await changing.execute(request(UPDATE, input=change))
            assert changed["updateWorkflow"]["userErrors"] == [], changed
    assert names == ["Python", "Serpent"], names


async def over_a_socket_without_a_token() -> None:
    for payload in ({}, {"authorization": "Bearer wrong"}):
        try:
            async with Client(transport=WebsocketsTransport(SOCKET, init_payload=payload, **PROTOCOL)):
                raise AssertionError("a stranger was let in")
        except TransportError as error:
            closed = error.__cause__
            assert isinstance(closed, ConnectionClosedError) and closed.rcvd.code == 4403, repr(closed)


async def main() -> None:
    workflow = await over_http()
    await over_http_without_a_token()
    await over_a_socket(workflow)
    await over_a_socket_without_a_token()


asyncio.run(asyncio.wait_for(main(), 30))
