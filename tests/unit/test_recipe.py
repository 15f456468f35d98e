"""Recipes: published settings, the papers' ablations by name, and what is refused."""

import json

import pytest

from streamer.errors import UsageError
from training.losses import HA2GWeights, WindowWeights
from training.recipe import Recipe, load_recipe, recipe_names

ABLATIONS = {
    "ha2g": {
        "single_audio",
        "no_text",
        "no_high",
        "no_contrastive",
        "holistic",
        "no_hand",
        "no_body",
        "same_audio",
        "asr_text",
    },
    "hop": {
        "no_graph",
        "no_reprogramming",
        "language_none",
        "gpt2",
        "bert",
        *(f"data_{share}" for share in (50, 60, 70, 80, 90)),
    },
}
BASELINES = {"trimodal", "seq2seq", "speech2gesture", "joint_embedding", "diffgesture"}


def test_every_system_and_ablation_has_its_name() -> None:
    names = recipe_names()
    assert set(names) >= {*ABLATIONS, *BASELINES, "autoencoder"}
    for system, wanted in ABLATIONS.items():
        assert wanted <= set(names[system])


@pytest.mark.parametrize("skeleton", ["ted_gesture", "ted_expressive", "upper_body"])
def test_every_recipe_can_be_read_for_every_skeleton(skeleton: str) -> None:
    for system, variations in recipe_names().items():
        for name in (system, *(f"{system}/{v}" for v in variations)):
            recipe = load_recipe(name, skeleton)
            assert recipe.name == name
            again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
            assert again == recipe


@pytest.mark.parametrize("skeleton", ["ted_gesture", "ted_expressive"])
def test_weights_are_the_published_ones(skeleton: str) -> None:
    weights = load_recipe("ha2g", skeleton).weights
    published = HA2GWeights.published(skeleton)
    assert {name: getattr(published, name) for name in weights} == weights
    for system in ("trimodal", "hop"):
        weights = load_recipe(system, skeleton).weights
        window = WindowWeights.published(system, skeleton)
        assert {name: getattr(window, name) for name in weights} == weights


def test_warm_up_counts_the_steps_of_the_published_epochs() -> None:
    # epochs count from 0 and the GAN acts in those over 10: eleven pass without it
    recipe = load_recipe("ha2g", "ted_gesture")
    assert recipe.steps == 100 * 780
    assert recipe.warm_up == 11 * 780
    assert not recipe.adversarial_at(11 * 780 - 1)
    assert recipe.adversarial_at(11 * 780)


def test_changes_reach_every_part() -> None:
    changes = ["batch=7", "data.text=none", "optimisation.clip=2", "weights.physical=0.5"]
    recipe = load_recipe("ha2g/holistic", "ted_gesture", changes)
    assert (recipe.batch, recipe.data.text, recipe.optimisation.clip) == (7, "none", 2.0)
    assert recipe.weights["physical"] == 0.5
    assert recipe.weights["regression"] == 70
    assert recipe.network == {"levels": "holistic"}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ha3g", "batch=1", "no recipe 'ha3g'; there are .*ha2g"),
        ("ha2g/shiny", "batch=1", "no variation 'shiny'; there are .*no_text"),
        ("ha2g", "batch", "expected key=value"),
        ("ha2g", "speed=3", "no setting 'speed'"),
        ("ha2g", "optimisation.speed=3", "no setting 'optimisation.speed'"),
        ("ha2g", "batch=many", "batch is 'many', expected int"),
        ("ha2g", "batch=0", "batch is 0, expected 1 or more"),
        ("ha2g", "precision=fp8", "precision is 'fp8', expected fp32, bf16"),
        ("ha2g", "data.fraction=1.5", "fraction is 1.5"),
        ("ha2g", "weights.physical=heavy", "weights.physical is 'heavy', expected a number"),
    ],
)
def test_what_is_not_known_is_refused(name: str, change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(name, "ted_gesture", [change])
