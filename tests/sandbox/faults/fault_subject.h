// What the subject of fault injection and its test agree on.
#pragma once

namespace gyges::faults {

// The subject sends itself this signal, which nothing else uses, at begin and end of the time in
// which faults are injected. The tracer swallows it.
inline constexpr int marker_signal = 23;  // SIGURG

}  // namespace gyges::faults
