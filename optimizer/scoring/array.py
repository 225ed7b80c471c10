"""What vectors and values of pictures are held in."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
