# Written by tools/ops_names.py from Keras 3.15.1: what type checkers and editors know.
from keras_buildfix.ops import cholesky as cholesky
from keras_buildfix.ops import cholesky_inverse as cholesky_inverse
from keras_buildfix.ops import det as det
from keras_buildfix.ops import eig as eig
from keras_buildfix.ops import eigh as eigh
from keras_buildfix.ops import inv as inv
from keras_buildfix.ops import jvp as jvp
from keras_buildfix.ops import lstsq as lstsq
from keras_buildfix.ops import lu_factor as lu_factor
from keras_buildfix.ops import matrix_rank as matrix_rank
from keras_buildfix.ops import norm as norm
from keras_buildfix.ops import pinv as pinv
from keras_buildfix.ops import qr as qr
from keras_buildfix.ops import solve as solve
from keras_buildfix.ops import solve_triangular as solve_triangular
from keras_buildfix.ops import svd as svd
