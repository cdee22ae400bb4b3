"""Parameters may be whatever YAML writes: lists, mappings, nothing; they reach `build` and the key as they stand."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sklearn.neural_network import MLPClassifier

from mlops.config import Project, UseCaseConfig
from mlops.errors import ConfigError
from mlops.keys import of_config
from mlops.training.train import train
from mlops.use_case import UseCase, _check_parameters, load_use_case


def build(hidden_layer_sizes: tuple[int, ...], class_weight: dict[str, float] | None, seed: int) -> MLPClassifier:
    assert class_weight in (None, {"setosa": 2.0})
    return MLPClassifier(hidden_layer_sizes, max_iter=40, random_state=seed)


def with_parameters(use_case: UseCase, **parameters: Any) -> UseCase:
    tree = {**use_case.config.model_dump(), "parameters": parameters}
    return replace(use_case, config=UseCaseConfig.model_validate(tree), build=build)


def check(use_case: UseCase) -> None:
    _check_parameters(partial(str), use_case.config, build)


@pytest.mark.parametrize("weight", [None, {"setosa": 2.0}])
def test_a_list_and_a_mapping_reach_build(project: Project, weight: dict[str, float] | None) -> None:
    use_case = with_parameters(load_use_case(project, "iris"), hidden_layer_sizes=[6, 3], class_weight=weight)
    check(use_case)
    candidate, _ = train(project, use_case)
    assert candidate.manifest["config"]["parameters"] == {"hidden_layer_sizes": [6, 3], "class_weight": weight}


@pytest.mark.parametrize("sizes", [["6"], [6.5], {"a": 1}, "6", 6])
def test_a_list_of_another_type_is_refused_by_name(project: Project, sizes: Any) -> None:
    with pytest.raises(ConfigError, match="parameters.hidden_layer_sizes"):
        check(with_parameters(load_use_case(project, "iris"), hidden_layer_sizes=sizes, class_weight=None))


def test_each_value_has_a_key_of_its_own(project: Project) -> None:
    iris = load_use_case(project, "iris")
    sizes = ([6, 3], [3, 6], [6], 6, None, {"6": 3}, {6: 3.5})
    keys = {of_config(with_parameters(iris, hidden_layer_sizes=value, class_weight=None).config) for value in sizes}
    assert len(keys) == len(sizes)


def test_set_takes_a_list(project: Project) -> None:
    with pytest.raises(ConfigError, match="parameters.degree"):
        load_use_case(project, "iris", ("parameters.degree=[1, 2]",))
