"""Tools that attack, against the server: schemathesis sends documents that it makes of the contract, as the owner of a
tenant, and clairvoyance guesses at the schema, as nobody (C-222, C-226, C-238)."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import aiohttp
import schemathesis
from graphql import build_schema, is_enum_type, is_input_object_type, is_introspection_type, is_object_type, parse_value
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

SDL = Path(__file__).resolve().parents[3] / "frontend-contract" / "schema.graphql"
URL, TOKEN = os.environ["CARILLON_GRAPHQL"], os.environ["CARILLON_TOKEN"]
# Documents for each field of a root; as many each time, and the same ones.
EXAMPLES = 5
# What would tell how the server is made.
OURS = re.compile(r"panicked|\.rs\b|sqlx|sea_orm|sqlite|postgres|\bSELECT\b|\bINSERT INTO\b|Did you mean", re.I)

Answer = tuple[int, str]


def documents() -> list[str]:
    """Documents for every query and mutation of the contract."""
    objects = st.sampled_from(["{}", '{ a: { b: [1, -1.5, "x", null, true] } }', '{ kind: "and", of: [] }'])
    schemathesis.graphql.scalar("JSON", objects.map(parse_value))
    made: list[str] = []
    for operation in schemathesis.graphql.from_path(SDL).get_all_operations():

        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.ok().as_strategy())
        def take(case) -> None:
            made.append(case.body)

        take()
    return made


async def ask(session: aiohttp.ClientSession, query: str, token: str | None = None) -> Answer:
    headers = {"authorization": "Bearer " + token} if token else {}
    async with session.post(URL, json={"query": query}, headers=headers) as answer:
        return answer.status, await answer.text()


def judge(query: str, answer: Answer) -> str:
    """The code of an answer, which is no fault of the server and tells nothing of it."""
    status, text = answer
    errors = json.loads(text).get("errors", [])
    codes = [error["extensions"]["code"] for error in errors]
    assert status < 500 and not {"INTERNAL", "UNAVAILABLE"} & set(codes), (query, answer)
    assert not any(OURS.search(error["message"]) for error in errors), (query, answer)
    return codes[0] if codes else "ok"


async def fuzz(session: aiohttp.ClientSession) -> None:
    told = Counter()
    for query in documents():
        told[judge(query, await ask(session, query, TOKEN))] += 1
    assert told["ok"] > told.total() / 2, told
    print("schemathesis:", told.total(), "documents", dict(told))


def names() -> list[str]:
    """Every name of the contract: more than a stranger would think of."""
    found: set[str] = set()
    for name, kind in build_schema(SDL.read_text()).type_map.items():
        if is_introspection_type(kind):
            continue
        found.add(name)
        if is_object_type(kind):
            found.update(argument for field in kind.fields.values() for argument in field.args)
        if is_object_type(kind) or is_input_object_type(kind):
            found.update(kind.fields)
        if is_enum_type(kind):
            found.update(kind.values)
    return sorted(found)


async def guess(session: aiohttp.ClientSession, folder: str) -> None:
    """Nearly right names are not put right, and the tool that lives on that finds no schema."""
    near = [name[:-1] for name in names() if len(name) > 3]
    for query in (
        *(f"{{ {name} }}" for name in near),
        *(f"mutation {{ {name} }}" for name in near),
        *(f"{{ contacts({name}: 1) {{ nodes {{ id }} }} }}" for name in near),
        *(f"{{ contacts(filter: {{ {name}: 1 }}) {{ nodes {{ id }} }} }}" for name in near),
        *(f"{{ contacts(filter: {{ state: {name} }}) {{ nodes {{ id }} }} }}" for name in near),
        *(f"query ($a: {name}) {{ serverTime }}" for name in near),
    ):
        judge(query, await ask(session, query))
    words, schema = Path(folder, "words"), Path(folder, "schema.json")
    words.write_text("\n".join(names()))
    command = [sys.executable, "-m", "clairvoyance", URL, "-w", str(words), "-o", str(schema), "-m", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not schema.exists() and "Unable to get TypeRef" in run.stderr, (run, schema.exists())
    print("clairvoyance:", len(near), "near names and", len(names()), "right ones, no schema")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        async with aiohttp.ClientSession() as session:
            await guess(session, folder)
            await fuzz(session)


asyncio.run(asyncio.wait_for(main(), 100))
