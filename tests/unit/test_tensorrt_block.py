"""What a block's build asks of the library, on fakes of its network and settings; tests/engine builds real plans."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from geopixel_edge.build import tensorrt_block
from geopixel_edge.build.tensorrt_block import Refused, Request
from geopixel_edge.engine.manifest import TensorSpec

REQUEST = Request(runtime="tensorrt", model="block.onnx", sm=87)


class Config:
    """A builder's settings; TF32 is on, as TensorRT has it."""

    def __init__(self) -> None:
        self.flags, self.limits = {"TF32"}, dict[str, int]()

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size


def configured(request: Request) -> Config:
    """The settings of a build on the board itself."""
    flag, pools = SimpleNamespace(TF32="TF32"), SimpleNamespace(WORKSPACE="workspace", TACTIC_DRAM="tactics")
    trt = SimpleNamespace(BuilderFlag=flag, MemoryPoolType=pools)
    config: Config = tensorrt_block._config(trt, SimpleNamespace(create_builder_config=Config), None, request)
    return config


def test_memory_bounds_the_workspace_and_the_builder() -> None:
    bounded = Request(runtime="tensorrt", model="block.onnx", sm=87, memory_bytes=8_000_000_000)
    assert configured(bounded).limits == {"workspace": 8_000_000_000, "tactics": 8_000_000_000}
    assert configured(REQUEST).limits == {}


def test_float32_is_not_rounded_before_products() -> None:
    assert configured(REQUEST).flags == set()


def test_every_attention_may_fall_back_to_several_kernels() -> None:
    class Attention:
        """As a layer is once its class is set."""

    class Layer:
        """Of a network, by its base alone."""

        def __init__(self, kind: str) -> None:
            self.type, self.attention = kind, SimpleNamespace(decomposable=False)

    layers = [Layer(kind) for kind in ("attention", "product", "attention")]
    trt = SimpleNamespace(LayerType=SimpleNamespace(ATTENTION_INPUT="attention"), IAttentionInputLayer=Attention)
    tensorrt_block._make_decomposable(trt, layers)
    assert [layer.attention.decomposable for layer in layers] == [True, False, True]
    assert [isinstance(layer, Attention) for layer in layers] == [True, False, True]
    older = [Layer("attention")]
    tensorrt_block._make_decomposable(SimpleNamespace(LayerType=SimpleNamespace()), older)
    assert not older[0].attention.decomposable, "a library that knows no attention has no such layer"


@pytest.mark.parametrize("kind", ["PLUGIN", "PLUGIN_V2", "PLUGIN_V3"])
def test_a_plugin_that_was_parsed_is_refused(kind: str) -> None:
    """Its code would be in the plan."""
    x, y = (SimpleNamespace(name=name, dtype=SimpleNamespace(name="FLOAT")) for name in "xy")
    network = SimpleNamespace(num_inputs=1, get_input=lambda i: x, num_outputs=1, get_output=lambda i: y)
    ends = [TensorSpec(name=name, dtype="float32", shape=(4,)) for name in "xy"]
    request = Request(runtime="tensorrt", model="block.onnx", inputs=(ends[0],), outputs=(ends[1],))

    def layer(of: str) -> Any:
        return SimpleNamespace(type=SimpleNamespace(name=of), num_inputs=1, get_input=lambda i: x)

    tensorrt_block.check_network(network, [layer("ACTIVATION")], request)
    with pytest.raises(Refused, match=rf"layers of kind \['{kind}'\]; a plan must not carry code"):
        tensorrt_block.check_network(network, [layer("ACTIVATION"), layer(kind)], request)
