// baton::interpose makes the linker look for baton_interpose_linked. This file, and with it all others, then come out
// of the archive, although nothing of the program names them.
extern "C" {
extern const char baton_interpose_files, baton_interpose_locks, baton_interpose_names, baton_interpose_polls,
    baton_interpose_sleeps, baton_interpose_sockets;
extern const char* const baton_interpose_linked[];
const char* const baton_interpose_linked[] = {&baton_interpose_files,  &baton_interpose_locks,
                                              &baton_interpose_names,  &baton_interpose_polls,
                                              &baton_interpose_sleeps, &baton_interpose_sockets};
}
