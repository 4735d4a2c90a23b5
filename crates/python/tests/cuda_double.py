"""A test double of PyTorch's CUDA tensors: memory of the simulated driver behind raw addresses, and
a stream on which all that PyTorch would do waits as long as the driver lets it.

The simulated driver is the file that CUDA_SIM_LIBRARY names (`cargo build -p cuda-sim`).
"""

import ctypes
import os

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_aten = torch.ops.aten
#: Operations whose results are memory that nothing was written to.
_UNWRITTEN = (_aten.new_empty.default, _aten.empty_like.default, _aten.empty.memory_format)


class Driver:
    """The simulated driver, with the primary context of device 0 and a stream of the program."""

    def __init__(self, library: str) -> None:
        # For everything that looks for a CUDA driver in this process.
        self._library = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        context, device = ctypes.c_void_p(), ctypes.c_int()
        self.call("cuInit", ctypes.c_uint(0))
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.context = context.value
        self._allocated: list[int] = []
        self.enter()
        self.stream = self.new_stream()

    def call(self, name: str, *arguments: object) -> None:
        outcome = getattr(self._library, name)(*arguments)
        if outcome:
            raise RuntimeError(f"{name}: CUDA error {outcome}")

    def enter(self) -> None:
        """Makes the context that of this thread."""
        self.call("cuCtxSetCurrent", ctypes.c_void_p(self.context))

    def current_context(self) -> int | None:
        context = ctypes.c_void_p()
        self.call("cuCtxGetCurrent", ctypes.byref(context))
        return context.value

    def new_stream(self) -> int:
        stream, non_blocking = ctypes.c_void_p(), 1
        self.call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(non_blocking))
        assert stream.value
        return stream.value

    def synchronize(self) -> None:
        self.call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def allocate(self, count: int) -> int:
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(count, 1)))
        self._allocated.append(address.value)
        return address.value

    def free_all(self) -> None:
        """Frees the memory of all tensors. Not before: it waits for the device."""
        self.enter()
        for address in self._allocated:
            self.call("cuMemFree_v2", ctypes.c_uint64(address))
        self._allocated.clear()

    def upload(self, address: int, host: np.ndarray) -> None:
        """Copies to the device, in the order of the stream."""
        self._copy("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), host.ctypes.data, host.nbytes)

    def download(self, address: int, host: np.ndarray) -> None:
        self._copy("cuMemcpyDtoHAsync_v2", host.ctypes.data, ctypes.c_uint64(address), host.nbytes)
        self.synchronize()

    def _copy(self, name: str, to: object, source: object, count: int) -> None:
        host_pointers = [ctypes.c_void_p(x) if isinstance(x, int) else x for x in (to, source)]
        if count:
            self.call(name, *host_pointers, ctypes.c_size_t(count), ctypes.c_void_p(self.stream))

    def reports(self) -> list[str]:
        """Returns what the sanitizers have found."""
        found: list[str] = []
        visitor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        push = visitor(lambda _, text, count: found.append(ctypes.string_at(text, count).decode()))
        self.call("cudaSimReports", push, None)
        return found


def reach(x: torch.Tensor) -> int:
    """Returns how many numbers lie from the first one of a tensor to the last one."""
    if x.numel() == 0:
        return 0
    return 1 + sum([(size - 1) * stride for size, stride in zip(x.shape, x.stride())])


class CudaTensor(torch.Tensor):
    """A tensor that says it lies on cuda:0, and whose numbers lie at an address of the driver.

    It says so in Python alone: autograd's engine would look for the queue of a real device.
    """

    driver: Driver
    memory: int
    device = torch.device("cuda:0")
    is_cpu = False
    is_cuda = True

    @staticmethod
    def __new__(
        cls, driver: Driver, like: torch.Tensor, strides: tuple[int, ...] | None = None
    ) -> "CudaTensor":
        """Makes one of this shape and type, whose numbers are not written yet."""
        made = torch.Tensor._make_wrapper_subclass(
            cls, like.shape, strides=strides, dtype=like.dtype, device="cpu"
        )
        made.driver = driver
        made.memory = driver.allocate(reach(made) * like.element_size())
        return made

    @classmethod
    def of(cls, driver: Driver, host: torch.Tensor) -> "CudaTensor":
        made = cls(driver, host)
        driver.upload(made.memory, host.contiguous().numpy())
        return made

    @classmethod
    def lying(cls, driver: Driver, host: torch.Tensor) -> "CudaTensor":
        """Makes one whose numbers lie as they do in a tensor of the program's memory. PyTorch cannot compute with
        it."""
        made = cls(driver, host, host.stride())
        driver.upload(made.memory, host.as_strided((reach(host),), (1,)).numpy())
        return made

    def host(self) -> torch.Tensor:
        assert self.is_contiguous(), "a tensor with strides was to be read where it lies"
        found = torch.empty(self.shape, dtype=self.dtype)
        self.driver.download(self.memory, found.numpy())
        return found

    def data_ptr(self) -> int:
        return self.memory

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None):
        raise AssertionError(f"{operation} outside of `Computing`")


class Computing(TorchDispatchMode):
    """While it is entered, PyTorch computes with doubles: in the program's memory, with results on
    the device."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = dict(options or {})
        doubles, others = [], []

        def host(x):
            if not isinstance(x, CudaTensor):
                others.extend([x] if isinstance(x, torch.Tensor) and x.dim() > 0 else [])
                return x
            doubles.append(x)
            unread = torch.empty(x.shape, dtype=x.dtype)
            return unread if operation in _UNWRITTEN else x.host()

        target = arguments[0] if operation._schema.is_mutable else None
        arguments = tree_map(host, arguments)
        if doubles and others and operation is not _aten.copy_.default:
            raise RuntimeError(f"{operation}: tensors on cuda:0 and on the CPU")
        wanted = options.get("device")
        on_device = bool(doubles) if wanted is None else torch.device(wanted).type == "cuda"
        if on_device and wanted is not None:
            options["device"] = "cpu"
        found = operation(*arguments, **options)
        if target is not None:
            if isinstance(target, CudaTensor):
                self.driver.upload(target.memory, arguments[0].numpy())
            return target

        def placed(x):
            if not isinstance(x, torch.Tensor):
                return x
            unwritten = operation in _UNWRITTEN
            return CudaTensor(self.driver, x) if unwritten else CudaTensor.of(self.driver, x)

        return tree_map(placed, found) if on_device else found


def load() -> Driver:
    """Loads the driver that the environment names."""
    return Driver(os.environ["CUDA_SIM_LIBRARY"])
