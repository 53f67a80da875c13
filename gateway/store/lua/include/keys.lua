-- The spelling of an org's keys, for functions that learn only inside the store whose key it is. It
-- is the copy of gateway.store.keys and gateway.core.names. In an escaped id none of / { } is left,
-- and a % only begins an escape.

local ESCAPES = { ['%'] = '%25', ['/'] = '%2F', ['{'] = '%7B', ['}'] = '%7D' }
local UNESCAPES = { ['25'] = '%', ['2F'] = '/', ['7B'] = '{', ['7D'] = '}' }

local function escape(part)
  if not string.find(part, '[%%/{}]') then return part end
  return (string.gsub(part, '[%%/{}]', ESCAPES))
end

local function unescape(part)
  if not string.find(part, '%', 1, true) then return part end
  return (string.gsub(part, '%%(%x%x)', UNESCAPES))
end

local function org_prefix(tag, org)
  local whose = escape(org)
  return tag .. '/' .. whose .. '/'
end

local function key_of(tag, org, name)
  local prefix = org_prefix(tag, org)
  return prefix .. name
end

local function shortfall_key(tag, org) return key_of(tag, org, 'shortfall') end
local function grants_key(tag, org) return key_of(tag, org, 'grants') end
local function grants_version_key(tag, org) return key_of(tag, org, 'v.grants') end
local function hold_key(tag, hold_id) return tag .. '//hold/' .. hold_id end

-- Ids of our own need no escaping: they have no character that is structure.
local function grant_key(tag, org, grant_id) return key_of(tag, org, 'g/' .. grant_id) end
local function is_grant(name) return string.sub(name, 1, 2) == 'g/' end

-- Return whether a book is one of free users: no org's own book begins so.
local function is_collective(book) return string.sub(book, 1, 1) == '~' end

-- Name a grant that expires, among all that is due; a hold is named there by its id.
local function due_grant(org, grant_id)
  local whose = escape(org)
  return 'grant/' .. whose .. '/' .. grant_id
end

-- Return org and id of a grant that is named so; nil where the name is a hold's.
local function grant_due(member)
  local org, grant_id = string.match(member, '^grant/([^/]+)/([^/]+)$')
  if not org then return nil end
  return unescape(org), grant_id
end
