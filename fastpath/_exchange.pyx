# cython: language_level=3, boundscheck=False, wraparound=False
"""A request whose answer stands already, answered between the socket and Python; `_pure_exchange.py` is its twin.

Owns the system calls, the comparison of two strings of bytes and a compact record; what answers stand, and for how
long, is told to it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.string cimport memcpy

import os
import socket

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object, object) except? NULL

cdef extern from "sys/epoll.h" nogil:
    enum:
        EPOLLIN

cdef extern from "sys/socket.h" nogil:
    enum:
        MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_PEEK
        AF_INET, SOCK_CLOEXEC, SOCK_STREAM
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    int accept4(int, sockaddr *, socklen_t *, int)
    int getsockname(int, sockaddr *, socklen_t *)
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)

cdef extern from "netinet/in.h" nogil:
    enum:
        INET6_ADDRSTRLEN
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short ntohs(unsigned short)

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int, const void *, char *, socklen_t)

cdef enum:
    NUMBER_BYTES = 2
    READ_BYTES = 16384
    FIRST_ROOM = 64

cdef struct Entry:
    long long now
    PyObject *label
    PyObject *answer
    char number[NUMBER_BYTES]


cdef class Answer:
    cdef readonly bytes asked, said
    cdef readonly object model
    cdef readonly long long since_ns, until_ns, changes

    def __init__(self, bytes asked, bytes said, model, long long since_ns, long long until_ns):
        self.asked, self.said, self.model = asked, said, model
        self.since_ns, self.until_ns, self.changes = since_ns, until_ns, model.changes

    cpdef bint holds(self, long long now):
        return self.since_ns <= now < self.until_ns and <long long> self.model.changes == self.changes


cdef class Journal:
    cdef readonly long long count, limit
    cdef public object first
    cdef Entry *_entries
    cdef size_t _kept, _room

    def __init__(self, long long limit):
        self.limit = limit

    def __dealloc__(self):
        cdef size_t place
        for place in range(self._kept):
            Py_DECREF(<object> self._entries[place].label)
            Py_DECREF(<object> self._entries[place].answer)
        PyMem_Free(self._entries)

    cdef int _take_down(self, long long now, object label, Answer answer, const char *number) except -1:
        cdef Entry *entry
        self.count += 1
        if <long long> self._kept < self.limit:
            if self._kept == self._room:
                entry = <Entry *> PyMem_Realloc(self._entries, max(FIRST_ROOM, 2 * self._room) * sizeof(Entry))
                if entry is NULL:
                    raise MemoryError
                self._entries, self._room = entry, max(FIRST_ROOM, 2 * self._room)
            entry = &self._entries[self._kept]
            entry.now, entry.label, entry.answer = now, <PyObject *> label, <PyObject *> answer
            memcpy(entry.number, number, NUMBER_BYTES)
            Py_INCREF(label)
            Py_INCREF(answer)
            self._kept += 1
        if self.first is not None:
            first, self.first = self.first, None
            first(now)
        return 0

    def exchanges(self):
        cdef size_t place
        cdef Answer answer
        found = []
        for place in range(self._kept):
            answer = <Answer> self._entries[place].answer
            number = PyBytes_FromStringAndSize(self._entries[place].number, NUMBER_BYTES)
            label = <object> self._entries[place].label
            found.append((self._entries[place].now, label, number + answer.asked, number + answer.said))
        return found


cdef class Standing:
    cdef public dict answers
    cdef public Journal journal
    cdef public object label, told
    cdef public long long last_ns

    def __init__(self):
        self.answers = self.journal = self.label = self.told = None
        self.last_ns = 0


cdef str _host(const sockaddr_storage *address):
    cdef char text[INET6_ADDRSTRLEN]
    cdef const void *of
    if address.ss_family == AF_INET:
        of = &(<sockaddr_in *> address).sin_addr
    else:
        of = &(<sockaddr_in6 *> address).sin6_addr
    if inet_ntop(address.ss_family, of, text, INET6_ADDRSTRLEN) is NULL:
        raise OSError(errno, os.strerror(errno))
    return text.decode("ascii")


def take_call(listener):
    cdef sockaddr_storage peer, called
    cdef socklen_t size = sizeof(peer)
    cdef int port, at = listener.fileno()
    cdef int descriptor = accept4(at, <sockaddr *> &peer, &size, SOCK_CLOEXEC)
    while descriptor < 0 and errno == ECONNABORTED:
        size = sizeof(peer)
        descriptor = accept4(at, <sockaddr *> &peer, &size, SOCK_CLOEXEC)
    if descriptor < 0:
        if errno in (EAGAIN, EINTR):
            return None
        raise OSError(errno, os.strerror(errno))
    sock = socket.socket(peer.ss_family, SOCK_STREAM, 0, descriptor)
    size = sizeof(called)
    if getsockname(descriptor, <sockaddr *> &called, &size) < 0:
        sock.close()
        raise OSError(errno, os.strerror(errno))
    if called.ss_family == AF_INET:
        port = ntohs((<sockaddr_in *> &called).sin_port)
    else:
        port = ntohs((<sockaddr_in6 *> &called).sin6_port)
    return sock, _host(&peer), _host(&called), port


cdef class Exchange:
    cdef int _descriptor
    cdef long long _origin_ns
    cdef Standing _standing
    cdef object _monotonic_ns, _connection

    def __init__(self, sock, Standing standing, connection, monotonic_ns, long long origin_ns):
        self._descriptor = sock.fileno()
        self._standing, self._connection = standing, connection
        self._monotonic_ns, self._origin_ns = monotonic_ns, origin_ns

    def hear(self, int events):
        cdef char buffer[READ_BYTES]
        cdef ssize_t size, sent
        if events != EPOLLIN:
            self._connection.ready(events)
            return
        size = recv(self._descriptor, buffer, READ_BYTES, MSG_DONTWAIT)
        if size < 0:
            if errno not in (EAGAIN, EINTR):
                self._connection.failed(OSError(errno, os.strerror(errno)))
            return
        answer = self._answer(buffer, size) if size > NUMBER_BYTES else None
        if answer is None:
            self._connection.take(PyBytes_FromStringAndSize(buffer, size))
            return
        said = (<Answer> answer).said
        size = NUMBER_BYTES + PyBytes_GET_SIZE(said)
        memcpy(buffer + NUMBER_BYTES, PyBytes_AS_STRING(said), size - NUMBER_BYTES)
        sent = send(self._descriptor, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent != size:
            # The connection tries again: it knows what to do with an error and with what is left.
            sent = max(sent, 0)
            self._connection.write(PyBytes_FromStringAndSize(buffer + sent, size - sent))

    def say_last(self, bytes data):
        cdef char unread
        cdef int flags = MSG_DONTWAIT | MSG_NOSIGNAL
        cdef ssize_t size = recv(self._descriptor, &unread, 1, MSG_PEEK | MSG_DONTWAIT)
        if size == 0 or (size < 0 and errno == EAGAIN):
            flags |= MSG_MORE
        size = send(self._descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), flags)
        if size < 0:
            if errno not in (EAGAIN, EINTR):
                raise OSError(errno, os.strerror(errno))
            size = 0
        return size

    cdef Answer _answer(self, const char *asked, ssize_t size):
        """What stands for this request, after everybody has been told of it; None where nothing does."""
        cdef Standing standing = self._standing
        cdef PyObject *found
        cdef Answer answer
        cdef long long now
        if standing is None or standing.answers is None:
            return None
        found = PyDict_GetItemWithError(
            standing.answers, PyBytes_FromStringAndSize(asked + NUMBER_BYTES, size - NUMBER_BYTES)
        )
        if found is NULL:
            return None
        answer = <Answer> found
        now = <long long> self._monotonic_ns() - self._origin_ns
        if not answer.holds(now) or NUMBER_BYTES + PyBytes_GET_SIZE(answer.said) > READ_BYTES:
            return None
        standing.last_ns = now
        if standing.told is not None:
            standing.told(now)
        if standing.journal is not None:
            standing.journal._take_down(now, standing.label, answer, asked)
        return answer
