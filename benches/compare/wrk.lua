-- For wrk: four paths and the tokens of the file $TOKENS in rotation, then one line of JSON. Times in microseconds.
local PATHS = { "/v1/items", "/v1/search", "/v1/chat", "/v1/images" }
local requests, at = {}, 0

function init()
  for token in io.lines(os.getenv("TOKENS")) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("GET", PATHS[#requests % #PATHS + 1])
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%f,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
