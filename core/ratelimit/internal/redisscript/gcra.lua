-- The generic cell rate algorithm for several buckets at once, as in gcra.go: all are charged, or none.
-- KEYS[i] is a bucket. ARGV[2i-1] is what one request uses of it, ARGV[2i] the whole of it, in microseconds.
-- A key holds the time at which none of its quota is in use, in microseconds since 1970.
-- Returns 1 or 0, whether the request is allowed, and how much of each bucket is in use after it.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function keep(key, used) -- %.0f, since a double turned into text by itself loses digits
  redis.call('SET', key, string.format('%.0f', now + used), 'PX', string.format('%.0f', math.ceil(used / 1000)))
end

local reply = {1}
for i, key in ipairs(KEYS) do
  local share, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local used = math.max((tonumber(redis.call('GET', key)) or 0) - now, 0)
  if used > burst then -- the clock was set back
    used = burst
    keep(key, used)
  end
  if used + share > burst then
    reply[1] = 0
  end
  reply[i + 1] = used
end
if reply[1] == 1 then
  for i, key in ipairs(KEYS) do
    reply[i + 1] = reply[i + 1] + tonumber(ARGV[2 * i - 1])
    keep(key, reply[i + 1])
  end
end
return reply
