"""Solves large batches of linear ODEs at once, differentiably, and finds the equations behind data.

* :func:`mechanistic.numpy.solve`: the solver among NumPy arrays,
* :func:`mechanistic.torch.solve_ode`: the solver as an operation of PyTorch,
* :func:`mechanistic.jax.solve`: the solver as an operation of JAX,
* :class:`mechanistic.Discover`: time series in, equations out.

NumPy is all that is needed; PyTorch and JAX are imported with the modules that use them.
"""

from ._native import __version__, cache_info, clear_cache, num_threads, set_num_threads
from ._status import SolveError, SolveWarning, Status
from .discovery import Discover

__all__ = [
    "Discover",
    "SolveError",
    "SolveWarning",
    "Status",
    "__version__",
    "cache_info",
    "clear_cache",
    "num_threads",
    "set_num_threads",
]
