/* Preloaded into linux.uml on processors with more state than it knows.

   User-mode Linux keeps the vector registers of its processes in a buffer of
   a size that was fixed when it was built. A processor with AMX has more, and
   the host then refuses (EFAULT) to set a part. Here the part is laid over the
   whole, which is set. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEK_FIRST = 1, PEEK_LAST = 3, GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202 };

static long set_part(pid_t pid, struct iovec *part) {
    static char state[65536];
    struct iovec whole = {state, sizeof state};
    if (syscall(SYS_ptrace, GETREGSET, pid, XSTATE, &whole) || part->iov_len >= whole.iov_len)
        return syscall(SYS_ptrace, SETREGSET, pid, XSTATE, part);
    memcpy(state, part->iov_base, part->iov_len);
    return syscall(SYS_ptrace, SETREGSET, pid, XSTATE, &whole);
}

long ptrace(int request, ...) {
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    unsigned long address = va_arg(rest, unsigned long);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (request >= PEEK_FIRST && request <= PEEK_LAST) { /* the C library returns what was read */
        long word;
        if (syscall(SYS_ptrace, request, pid, address, &word) < 0) return -1;
        errno = 0;
        return word;
    }
    if (request == SETREGSET && address == XSTATE) return set_part(pid, data);
    return syscall(SYS_ptrace, request, pid, address, data);
}
