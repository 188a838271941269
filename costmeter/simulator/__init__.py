"""A stand-in for DeepSeek over real HTTP, with prices, a ledger and a clock of its own.

It shares no line with the rest of costmeter, so that both can be wrong only independently: what it charged is the
answer key for what costmeter computed.
"""

from costmeter.simulator.clock import Clock, HostClock, SimulatorClock
from costmeter.simulator.errors import BadInputError
from costmeter.simulator.ledger import Ledger
from costmeter.simulator.server import Simulator

__all__ = ["BadInputError", "Clock", "HostClock", "Ledger", "Simulator", "SimulatorClock"]
