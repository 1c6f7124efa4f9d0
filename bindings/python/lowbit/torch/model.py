# SPDX-License-Identifier: Apache-2.0
"""Whole models: every torch.nn.Linear that a recipe names becomes a lowbit.torch.Linear, in place."""
import fnmatch

import torch

from .._array import refuse
from .linear import Linear


def quantize_model(model, recipe):
    """recipe: pattern of module names -> what to do, the last that matches counts. None leaves a layer as it is; a text
    is its weights ("s4.g128"); a pair is weights and activations (("s8.channel", "s8.token")); a dict is arguments of
    Linear.from_float. Returns name -> layer."""
    rules = {pattern: _arguments(pattern, rule) for pattern, rule in recipe.items()}
    found = {name: module for name, module in model.named_modules() if name and type(module) is torch.nn.Linear}
    unused = set(rules)
    made = {}
    for name, module in found.items():
        matching = [pattern for pattern in rules if fnmatch.fnmatchcase(name, pattern)]
        unused.difference_update(matching)
        if matching and rules[matching[-1]] is not None:
            try:
                made[name] = Linear.from_float(module, **rules[matching[-1]])
            except ValueError as reason:
                refuse(f"{name}: {reason}")
    if unused:
        refuse(f"recipe: no Linear is called '{sorted(unused)[0]}'; there are {', '.join(found) or 'none'}")
    for name, layer in made.items():
        _replace(model, name, layer)
    return made


def load_model(model, state_dict, strict=True, device=""):
    """Puts layers into a model of floats as quantize_model did to the one that state_dict was saved of, then loads it.
    Returns what load_state_dict does."""
    ending = "._extra_state"
    for key, state in state_dict.items():
        name = key[: -len(ending)]
        module = dict(model.named_modules()).get(name) if key.endswith(ending) else None
        if type(module) is torch.nn.Linear:
            order = f"{name}.order" in state_dict
            layer = Linear(bytes(state.tolist()).decode(), order=order, device=device)
            _replace(model, name, layer.to(module.weight.device))
    return model.load_state_dict(state_dict, strict)


def _arguments(pattern, rule):
    if rule is None or isinstance(rule, dict):
        return rule
    if isinstance(rule, str):
        return {"weight": rule}
    if isinstance(rule, tuple) and len(rule) == 2:
        return dict(zip(("weight", "activation"), rule))
    return refuse(f"recipe['{pattern}'] is {rule!r}; it is None, a weight operand, a pair with an activation operand, or "
                  "a dict of arguments of Linear.from_float")


def _replace(model, name, layer):
    parent, _, last = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(parent), last, layer)
