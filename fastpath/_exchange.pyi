from fastpath._pure_exchange import Answer as Answer
from fastpath._pure_exchange import Exchange as Exchange
from fastpath._pure_exchange import Journal as Journal
from fastpath._pure_exchange import Standing as Standing
from fastpath._pure_exchange import take_call as take_call
