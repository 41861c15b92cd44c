-- HS256 tokens, a rate and units per subject, for nginx.conf. The HMAC is libcrypto's, its context prepared once.
local base64 = require "ngx.base64"
local cjson = require "cjson"
local ffi = require "ffi"

ffi.cdef [[
const void *EVP_sha256(void);
void *HMAC_CTX_new(void);
int HMAC_Init_ex(void *ctx, const void *key, int len, const void *md, void *engine);
int HMAC_Update(void *ctx, const char *data, size_t len);
int HMAC_Final(void *ctx, unsigned char *mac, unsigned int *len);
int CRYPTO_memcmp(const void *a, const void *b, size_t len);
]]
local crypto = ffi.load("libcrypto.so.3")
local mac, mac_length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")

local COSTS = { ["/v1/items"] = 1, ["/v1/search"] = 2, ["/v1/chat"] = 5, ["/v1/images"] = 10 }
local REQUESTS_PER_SECOND = 1000000

local Jwt = {}
Jwt.__index = Jwt

function Jwt.new(secret)
  local context = crypto.HMAC_CTX_new()
  assert(crypto.HMAC_Init_ex(context, secret, #secret, crypto.EVP_sha256(), nil) == 1)
  return setmetatable({ context = context }, Jwt)
end

local function decode(part)
  local text = base64.decode_base64url(part)
  local read, value = pcall(cjson.decode, text or "")
  return read and value or {}
end

-- The claims, or nil.
function Jwt:verify(authorization)
  local header, payload, signature = (authorization or ""):match("^Bearer ([^.]+)%.([^.]+)%.([^.]+)$")
  if not header or decode(header).alg ~= "HS256" then return nil end
  local sent = base64.decode_base64url(signature)
  if not sent or #sent ~= 32 then return nil end
  crypto.HMAC_Init_ex(self.context, nil, 0, nil, nil)
  crypto.HMAC_Update(self.context, authorization:sub(8), #header + 1 + #payload)
  crypto.HMAC_Final(self.context, mac, mac_length)
  if crypto.CRYPTO_memcmp(mac, sent, 32) ~= 0 then return nil end
  return decode(payload)
end

function Jwt:admit()
  local claims, now = self:verify(ngx.var.http_authorization), ngx.time()
  if not claims or not claims.sub or (claims.exp or 0) < now then return ngx.exit(401) end
  local rate = ngx.shared.rates:incr(claims.sub .. ":" .. now, 1, 0, 2)
  if rate and rate > REQUESTS_PER_SECOND then return ngx.exit(429) end
  local cost = COSTS[ngx.var.uri] or 1
  ngx.shared.units:incr(claims.sub, cost, 0)
  return claims.sub, cost
end

return Jwt
