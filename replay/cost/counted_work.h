// What decode steps read and choose, counted in positions and pages.
#pragma once

namespace reattend {

/// Summed over KV heads and layers, of one step or of many. Counts are exact in doubles up to 2^53; means over steps
/// are no integers.
struct CountedWork {
  double run = 0;           ///< positions attended to in runs
  double kept = 0;          ///< attended to as entries of kept sets
  double in_place = 0;      ///< of those, entries read where they lie in the cache: their set was not copied
  double ranked = 0;        ///< that a kept set was chosen from by whole rows
  double chosen = 0;        ///< that such choices kept
  double summed = 0;        ///< whose weights in the attended set's row were added up or ranked
  double rescored = 0;      ///< whose keys were read for a choice alone
  double packed = 0;        ///< whose keys and values were copied to where later steps read them in one run
  double bounds = 0;        ///< pages whose bounds were read
  double estimated = 0;     ///< that a kept set was chosen from by rows estimated from a sketch
  double looked_up = 0;     ///< their channels that were read, in units of 2 bits
  double blocks = 0;        ///< blocks of sketches whose ranges were read
  double sketch_bytes = 0;  ///< of sketches that were read

  CountedWork& operator+=(const CountedWork& other);
  CountedWork& operator/=(double n);
};

/// All of them, so that nobody who adds, scales or writes them forgets one.
struct CountedWorkPart {
  const char* name;
  double CountedWork::*value;
};
inline constexpr CountedWorkPart kCountedWork[] = {{"run", &CountedWork::run},
                                                   {"kept", &CountedWork::kept},
                                                   {"in_place", &CountedWork::in_place},
                                                   {"ranked", &CountedWork::ranked},
                                                   {"chosen", &CountedWork::chosen},
                                                   {"summed", &CountedWork::summed},
                                                   {"rescored", &CountedWork::rescored},
                                                   {"packed", &CountedWork::packed},
                                                   {"bounds", &CountedWork::bounds},
                                                   {"estimated", &CountedWork::estimated},
                                                   {"looked_up", &CountedWork::looked_up},
                                                   {"blocks", &CountedWork::blocks},
                                                   {"sketch_bytes", &CountedWork::sketch_bytes}};

inline CountedWork& CountedWork::operator+=(const CountedWork& other) {
  for (const CountedWorkPart& part : kCountedWork) this->*part.value += other.*part.value;
  return *this;
}
inline CountedWork& CountedWork::operator/=(double n) {
  for (const CountedWorkPart& part : kCountedWork) this->*part.value /= n;
  return *this;
}

}  // namespace reattend
