"""Declarations that several test files register."""

from flan_jax.data.declarations import task
from flan_jax.data.sources import generated
from flan_jax.data.templates import Template

COLORS = ["red", "green", "blue"]


def color_row(rng, index):
    return {"object": f"thing {index}", "color": rng.choice(COLORS)}


def declare_colors(name="colors", cluster="facts", sizes=None, seed=0, **settings):
    settings = {
        "templates": (
            Template("What colour is {object}?"),
            Template("{object} is\n{options}", targets="It is {answer}."),
            Template("Name something {answer}.", targets="{object}"),
        ),
        **settings,
    }

    @task(
        name,
        cluster=cluster,
        source=generated(color_row, sizes or {"train": 30, "validation": 5}, seed=seed),
        example={"object": "grass", "color": "green"},
        **settings,
    )
    def colors(row):
        return {"object": row["object"], "options": COLORS, "answer": row["color"]}

    return colors


def declare_open(name="open_colors", cluster="open"):
    @task(
        name,
        cluster=cluster,
        source=generated(color_row, {"train": 4000}, seed=5),
        example={"object": "grass", "color": "green"},
        templates=(Template("What colour is {object}?"),),
    )
    def open_colors(row):
        return {"object": row["object"], "answer": [row["color"], row["color"].upper()]}

    return open_colors
