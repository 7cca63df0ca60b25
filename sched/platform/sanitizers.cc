#include <baton/sched/platform/sanitizers.h>

const char BATON_KIND_OF_LIBRARY = 1;
