-- wrk's own figures as one JSON object, of the same names as load.h's; latencies in microseconds.
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local seconds = summary.duration / 1e6
  io.write(string.format(
    '\nJSON {"requests_per_s": %.0f, "requests": %d, "requests_in_all": %d, "seconds": %.3f, "p50_us": %d, ' ..
    '"p90_us": %d, "p99_us": %d, "max_us": %d, "failed": %d}\n',
    summary.requests / seconds, summary.requests, summary.requests, seconds, latency:percentile(50),
    latency:percentile(90), latency:percentile(99), latency.max, failed))
end
