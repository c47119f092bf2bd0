from fastpath._pure_single import Curve as Curve
from fastpath._pure_single import normal as normal
from fastpath._pure_single import uniform as uniform
