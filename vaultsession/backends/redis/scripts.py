"""What is done on the server in one step: the scripts, each with its keys and arguments. None holds a key of a vault.

Every script looks at the types of all its keys before it writes to the first: a foreign key under our names stops it
with WRONGTYPE, and nothing was changed. Of what stands where a row should be no more is read than a row may have: the
rest is of somebody else, and such a row is none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """Lua, and the digest under which a server that has met it knows it."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


LOOK = Script("return {redis.call('GETRANGE', KEYS[2], 0, 65535), redis.call('STRLEN', KEYS[1])}")
"""Container, newest → ``[newest, size of the container]``."""

READ = Script("""
local newest = redis.call('GETRANGE', KEYS[2], 0, 65535)
local size = redis.call('STRLEN', KEYS[1])
if size == 0 then return {newest, 0} end
local header, start = tonumber(ARGV[1]), tonumber(ARGV[2])
if start < 0 then start = size + start end
start = math.min(size, math.max(header, start))
local data = ''
if start < size then data = redis.call('GETRANGE', KEYS[1], start, size - 1) end
return {newest, size, start, redis.call('GETRANGE', KEYS[1], 0, header - 1), data}
""")
"""Container, newest; size of a header, start → ``[newest, size, offset, header, data]``, of what is there."""

COMMIT = Script("""
local newest = redis.call('GETRANGE', KEYS[2], 0, 65535)
local size = redis.call('STRLEN', KEYS[1])
local offset, data = tonumber(ARGV[3]), ARGV[4]
if string.sub(newest, 1, tonumber(ARGV[11])) ~= ARGV[1] or size ~= tonumber(ARGV[2]) then
  local stop, tail = offset + #data, ''
  if #data > 0 and size >= stop then
    tail = redis.call('GETRANGE', KEYS[1], math.max(offset, stop - 64), stop - 1)
  end
  return {newest, size, tail}
end
for number = 3, #KEYS do redis.call('ZCARD', KEYS[number]) end
local locator, dropped = ARGV[6], tonumber(ARGV[10])
if offset < 0 then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[5])
  if ARGV[9] ~= '' then redis.call('PEXPIRE', KEYS[2], ARGV[9]) end
  for number = 3, #KEYS do redis.call('ZREM', KEYS[number], locator) end
  return 1
end
if offset == 0 then redis.call('SET', KEYS[1], data) else redis.call('APPEND', KEYS[1], data) end
redis.call('SET', KEYS[2], ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[7], locator)
if ARGV[8] == '' then
  redis.call('PERSIST', KEYS[1])
  redis.call('ZREM', KEYS[4], locator)
else
  local time, margin = redis.call('TIME'), tonumber(ARGV[9])
  local here = time[1] * 1000 + math.floor(time[2] / 1000)
  local deadline = string.format('%.0f', margin + math.max(here, math.floor(tonumber(ARGV[8]) / 1000)))
  redis.call('PEXPIREAT', KEYS[1], deadline)
  redis.call('PEXPIREAT', KEYS[2], deadline)
  redis.call('ZADD', KEYS[4], ARGV[8], locator)
end
for number = 5, 4 + dropped do redis.call('ZREM', KEYS[number], locator) end
for number = 5 + dropped, #KEYS do redis.call('ZADD', KEYS[number], ARGV[7], locator) end
return 1
""")
"""Write, if what is there is what ``update`` saw; else return what is there, and what stands where our bytes would.

Keys: container, newest, all, expiring, then the sets of the tags that the session loses, then of those that it has.
Arguments: newest as seen and size, offset (-1: a tombstone), data, newest as it shall be, locator, updated, expires
(or empty), milliseconds that the server keeps it (behind the expiry; of a tombstone: from now, or empty), count of the
tags that it loses, and how many bytes of newest are compared: those of a row up to its version identify it.
→ 1, or ``[newest, size, tail]``.

Expiry on the server is a margin behind that of the session *and* behind this moment of the server, so that no clock of
a host, however wrong, makes the server drop what was just written.
"""

PAGE = Script("""
local found = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
local rows = {}
for number = 1, #found, 2 do rows[#rows + 1] = redis.call('GETRANGE', ARGV[6] .. found[number], 0, 65535) end
return {found, rows}
""")
"""A sorted set; ZRANGEBYSCORE or ZREVRANGEBYSCORE, from, to, skip, count, how keys of rows begin → entries, rows."""

COUNT = Script("""
local now = tonumber(redis.call('TIME')[1]) * 1000
local past = string.format('%.0f', (now - tonumber(ARGV[2])) * 1000)
local expired = 0
if ARGV[1] ~= '' then expired = redis.call('ZCOUNT', KEYS[2], '-inf', ARGV[1]) end
return {redis.call('ZCARD', KEYS[1]), expired, redis.call('ZCOUNT', KEYS[2], '-inf', past), past}
""")
"""All, expiring; a moment or empty, milliseconds that the server keeps what has expired → how many there are, how many
have expired at that moment, of how many the time on the server is over, and since when that is."""

TOMBSTONES = Script("""
local found = {}
for number, name in ipairs(KEYS) do
  local kind = redis.pcall('GETRANGE', name, 0, 0)
  found[number] = kind == ARGV[1] and redis.call('GETRANGE', name, 0, 65535) or ''
end
return found
""")
"""Newest of several sessions of one shard; how a tombstone begins → each that is one, of the others nothing."""

THERE = Script("""
local found = {}
for number, name in ipairs(KEYS) do found[number] = redis.call('EXISTS', name) end
return found
""")
"""Keys of one shard → of each 1 where there is something, else 0."""

CORRECT = Script("""
if redis.call('GETRANGE', KEYS[2], 0, 65535) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
""")
"""A sorted set, newest; locator, newest as seen, score or empty: an entry that is wrong, put right or removed."""

VALUE = Script("""
return redis.call('EXISTS', KEYS[1]) == 1 and redis.call('GETRANGE', KEYS[1], 0, ARGV[1])
""")
"""A key; a bound → its value up to one byte beyond the bound, or nothing where it is absent."""

REPLACE = Script("""
local there = redis.call('GET', KEYS[1])
if ARGV[1] == '0' and there or ARGV[1] ~= '0' and there ~= ARGV[2] then
  return {0, there == ARGV[3] and 1 or 0}
end
redis.call('SET', KEYS[1], ARGV[3])
return {1, 1}
""")
"""A key; "1" if something is expected, what is expected, what shall be there → whether that was put, and is there."""

HOLD = Script("""
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] and (holder or ARGV[3] ~= 'take') then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")
"""A lease; a token, milliseconds, "take" or "renew" → 1 where it is that token's now, 0 where it is not."""

RELEASE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
"""A lease; a token → 1 where it was that token's, 0 where it was not."""
