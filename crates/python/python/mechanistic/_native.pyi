from collections.abc import Callable
from typing import Any

_Sizes = tuple[
    int,
    int,
    int,
    tuple[int, ...],
    tuple[int, ...],
    tuple[int, ...],
    tuple[int, ...],
]
_Addresses = tuple[int, ...]
#: The strides of the four inputs, in numbers.
_Strides = tuple[tuple[int, ...], ...]
#: A CUDA device, its stream and whether to wait; or how many threads PyTorch computes on.
_Location = tuple[int, int, bool] | int
_Table = tuple[int, int, int, list[float]]
_Series = tuple[int, int, int, int]

__version__: str

class SolveOptions:
    def __new__(
        cls,
        *,
        smoothness: str,
        weights: tuple[float, float, float, float],
        slack: tuple[float, float] | None,
        periodic: bool,
        scaling: str,
        factorization: str,
        refinement_steps: int | None,
        roughness: float,
        follow_growth: bool,
    ) -> SolveOptions: ...
    @property
    def balanced(self) -> bool: ...

class Factor:
    @property
    def is_inherited(self) -> bool: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def vjp(
        self,
        inputs: _Addresses,
        cotangents: _Addresses,
        targets: _Addresses,
        location: _Location = 1,
        strides: _Strides | None = None,
        count: int = 1,
    ) -> None: ...
    def jvp(
        self,
        inputs: _Addresses,
        tangents: _Addresses,
        results: _Addresses,
        location: _Location = 1,
        strides: _Strides | None = None,
        count: int = 1,
    ) -> None: ...
    def inverse(
        self,
        inputs: _Addresses,
        q: _Addresses,
        results: _Addresses,
        location: _Location = 1,
        strides: _Strides | None = None,
    ) -> None: ...
    def failures(self) -> str: ...
    def plan(self) -> str: ...

def solve(
    double: bool,
    sizes: _Sizes,
    options: SolveOptions,
    inputs: _Addresses,
    results: _Addresses,
    location: _Location = 1,
    strides: _Strides | None = None,
) -> tuple[Factor, int]: ...
def find(
    number: int,
    double: bool,
    sizes: _Sizes,
    options: SolveOptions,
    device: int | None = None,
) -> Factor | None: ...
def vjp(
    number: int,
    double: bool,
    sizes: _Sizes,
    options: SolveOptions,
    inputs: _Addresses,
    cotangents: _Addresses,
    targets: _Addresses,
    location: _Location,
    strides: _Strides | None,
    count: int,
) -> bool: ...
def check_sizes(sizes: _Sizes) -> None: ...
def xla_handlers() -> list[Any]: ...
def smoothness_rows(options: SolveOptions, order: int) -> tuple[_Table, _Table | None]: ...
def cache_info() -> tuple[int, int]: ...
def clear_cache() -> None: ...
def use_openmp(parallel: int) -> None: ...
def num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def discover(
    states: list[str],
    inputs: list[str],
    trajectories: list[_Series],
    settings: dict[str, Any],
    progress: Callable[[float, str], object] | None,
) -> tuple[
    str, list[list[str]], list[tuple[list[float], list[float], list[float], list[int]]]
]: ...
def latex(json: str) -> str: ...
def text(json: str) -> str: ...
def simulate(
    json: str,
    states: list[str],
    inputs: list[str],
    trajectories: list[_Series],
    sizes: list[float],
) -> tuple[list[list[float]], list[float], list[str]]: ...
def derivative(json: str, arguments: int, count: int) -> list[float]: ...
