"""Names of NumPy array types, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Bool = NDArray[np.bool_]
U8 = NDArray[np.uint8]
F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]
F64 = NDArray[np.float64]
