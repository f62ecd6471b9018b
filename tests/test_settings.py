"""Settings: every field of every family's Config has a range, an explanation, and defaults fit."""

import dataclasses
import inspect
import json
import re

import pytest
import torch
from safetensors.torch import load

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.image.dcgan.network import Config as DcganConfig
from dancing.image.limbs import training as limbs
from dancing.image.limbs.config import Config
from dancing.motion.flow.network import Config as FlowConfig
from dancing.motion.lstm_vae.network import Config as LstmVaeConfig
from dancing.training.train import configured

CONFIGS = (Config, DcganConfig, FlowConfig, LstmVaeConfig)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_field_is_explained_and_kept_as_json(kind):
    explained = re.findall(r"^ +(\w+): ", inspect.getdoc(kind), re.MULTILINE)
    assert explained == [field.name for field in dataclasses.fields(kind)]
    assert kind(**json.loads(json.dumps(dataclasses.asdict(kind())))) == kind()


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_no_field_takes_what_is_not_finite(kind, text):
    for field in dataclasses.fields(kind):
        with pytest.raises(DancingError, match=field.name):
            configured(kind, [f"{field.name}={text}"])
        with pytest.raises(DancingError, match=field.name):
            configured(kind, [], {field.name: float(text)})


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (Config, "matte_weight=-1", "matte_weight must be 0 or more, not -1"),
        (Config, "adversarial_edge_factor=0", "adversarial_edge_factor must be above 0"),
        (Config, "learning_rate=0", "learning_rate must be above 0"),
        (Config, "ema_decay=1.5", "ema_decay must be between 0 and 1"),
        (Config, "depth_views=2.5", "'2.5' is not a whole number"),
        (Config, "least_difficulty=4", "least_difficulty must not be above most_difficulty"),
        (FlowConfig, "change_weight=-0.1", "change_weight must be 0 or more"),
        (FlowConfig, "known_half=0.9", "must not be above 1 together"),
        (LstmVaeConfig, "kl_weight=-1", "kl_weight must be 0 or more"),
        (DcganConfig, "beta1=1", "beta1"),
    ],
)
def test_values_out_of_range_are_named(kind, setting, message):
    with pytest.raises(DancingError, match=message):
        configured(kind, [setting])


def test_weights_and_factors_of_no_family_are_negative():
    for kind in CONFIGS:
        for field in dataclasses.fields(kind):
            if field.name.endswith(("_weight", "_factor", "learning_rate")):
                with pytest.raises(ValueError, match=field.name):
                    kind(**{field.name: -0.5})


def test_what_an_older_card_lacks_has_its_default():
    base = {"channels": 16, "texture_weight": 0.6, "gone": 1}
    config = configured(Config, ["hand_weight=6"], base)
    assert config == Config(channels=16, texture_weight=0.6, hand_weight=6.0)


def test_flags_are_true_or_false():
    @dataclasses.dataclass(frozen=True)
    class Flagged:
        wide: bool = True

    assert configured(Flagged, ["wide=false"]).wide is False
    with pytest.raises(DancingError, match="neither true nor false"):
        configured(Flagged, ["wide=0.5"])


@pytest.mark.parametrize("name", ["ava", "kai"])
def test_a_bundle_s_weights_go_into_today_s_networks(name):
    """Those of older bundles have other prefixes; what is written has today's."""
    bundle = Bundle(name)
    card = bundle.stage("image")
    config = configured(Config, [], card.config)
    room = {"room": torch.zeros(0, 33, 3)}
    module = limbs.Training(config, {"size": card.size, **room})
    weights = load(bundle.file("image.safetensors"))
    module.begin_with(weights)
    written = module.weights()
    assert len(written) == len(weights)
    for key, value in weights.items():
        part = {"drawer": "networks", "judges": "discriminators"}.get(key.partition(".")[0])
        key = key if part is None else f"{part}.{key.partition('.')[2]}"
        torch.testing.assert_close(written[key], value.to(written[key].dtype))
