-- What the module knows, for prometheus-redis-exporter: its option -script runs this on every scrape and exports each
-- name and number as redis_script_values{key="name"}; prometheus.yml makes a metric redis_<name> of each.
--
-- The exporter asks INFO ALL, which leaves sections of modules out, and its -check-keys knows the server's own types only
-- ("unknown type: HLLsketch"). Hence this script. Whatever it returns must be a number as text: one value that is none, and
-- the exporter reports the whole server as down. It reads; it takes some tens of microseconds, and some more for each key
-- below.

-- Keys to watch, a few: for example {'visitors:shop', 'shop'}. A sketch gives hll_key_elements and hll_key_bytes, a cube
-- hll_key_bytes, hll_key_newest_event_seconds, hll_key_late_events, hll_key_other_events and hll_key_waiting.
local watched = {}

local answer = {}

local function tell(name, value)
    local number = tonumber(value)
    -- Neither infinities nor what is not a number.
    if number and number == number and math.abs(number) < math.huge then
        answer[#answer + 1] = name
        answer[#answer + 1] = string.format('%.17g', number)
    end
end

local info = redis.pcall('INFO', 'hll')
if type(info) == 'string' then
    for name, value in string.gmatch(info, '(hll_[%w_]+):([^\r\n]*)') do
        tell(name, value)
    end
end

local function fields(reply)
    local found = {}
    if type(reply) == 'table' and not reply.err then
        for at = 1, #reply, 2 do
            found[reply[at]] = reply[at + 1]
        end
    end
    return found
end

for _, key in ipairs(watched) do
    local kind = redis.pcall('TYPE', key)
    kind = kind.ok
    if kind == 'HLLsketch' then
        tell('hll_key_elements:' .. key, redis.pcall('HLL.COUNT', key))
        tell('hll_key_bytes:' .. key, redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0))
    elseif kind == 'HLLcubev1' then
        local cube = fields(redis.pcall('HLL.CUBE.INFO', key))
        tell('hll_key_bytes:' .. key, cube.memory_bytes)
        tell('hll_key_newest_event_seconds:' .. key, cube.newest and cube.newest / 1000)
        tell('hll_key_late_events:' .. key, cube.late)
        local other = 0
        for _, column in ipairs(cube.columns or {}) do
            other = other + (fields(column).other_events or 0)
        end
        tell('hll_key_other_events:' .. key, other)
        tell('hll_key_waiting:' .. key, cube.waiting)
    end
end

return answer
