-- Statuses with which a function ends; the same numbers as gateway.core.commands.Status.
local DONE, STALE, CLOSED, REPLAY, REUSED, ROOM, ENDED, MISSING, RANGE = 0, 1, 2, 3, 4, 5, 6, 7, 8
-- Not known to core: the store asks for a template that it does not remember; codec.UNKNOWN.
local UNKNOWN = 9

-- The life of a hold; the same numbers as gateway.core.holds.HoldStatus and Step.
local HELD, CAPTURED, RELEASED, EXPIRED = 0, 1, 2, 3
local STEP_CAPTURE, STEP_RELEASE, STEP_EXPIRE = 1, 2, 3

-- Shapes of counters; the same numbers as gateway.core.counters.
local WINDOW, SLIDING, GAUGE = 0, 1, 2

-- 2^53 - 1, the largest integer that a double, which is all Lua has, holds exactly; see core.money.
local MAX_MICROS = 9007199254740991
local WINDOW_GRACE_MS = 7200000
