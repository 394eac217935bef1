"""A party's store: every write goes with its audit entries, in one transaction, through one writer.

Laws: no entry, no action; no action, no entry (`jot` alone writes what is no action). A caller is answered only after
the commit. An action that fails is undone alone; when appending or committing fails, nothing of that transaction has
happened. A caller that gave up waiting can be sure that its action did not run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from sojourn.audit.entry import Entry
from sojourn.audit.receipt import Receipt
from sojourn.audit.verification import Report
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.storage.batch import Batch, Job
from sojourn.storage.engine import READ_ONLY, in_transaction, touch
from sojourn.storage.guard import Attempt, Mode, alarm_of, used_for
from sojourn.storage.journal import Head, Journal
from sojourn.storage.notices import Notices
from sojourn.storage.outcome import undone, unknown, unread, unwritten

T = TypeVar("T")

Watching = Callable[[float, int, Sequence[bytes]], None]  # seconds of a commit, its writes, its encoded entries
BATCH_MAX = 100
CLOSING = 10.0  # seconds that the writes in hand may take when the store is closed
ENTRY_BYTES_MAX = 65_535  # what an entry bundle of C2SP tlog-tiles can hold


class Store:
    """Opens on a migrated database; verifies that the latest checkpoint matches the stored tree, else AuditError.

    clock: the present time, with its time zone. patience: seconds that a write waits for its turn, and that a commit
    whose answer was lost is looked for. inline: each write is committed in its caller's thread, for a program that has
    no other; else in the store's own. Close it to drain what is queued; it also closes the engine's connections.
    """

    def __init__(
        self,
        engine: Engine,
        metadata: MetaData,
        log_key: PrivateKey,
        origin: str,
        clock: Callable[[], datetime],
        patience: float = 30.0,
        inline: bool = False,
    ) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**{READ_ONLY: True})
        self._clock = clock
        self._patience = patience
        self._journal = Journal(metadata, log_key, origin)
        self._head = self._open()
        # SQLite removes its shared memory with the last connection, and on a full disk could not make it again.
        self._kept = engine.connect() if engine.dialect.name == "sqlite" else None
        self._wake = threading.Condition()
        self._queue: deque[Job] = deque()
        self._attempts: Counter[Attempt] = Counter()
        self._alarmed = False
        self._closing = False
        self._stopped: AuditError | None = None
        self.watching: Watching = lambda seconds, writes, entries: None
        alarm_of(engine).listener = self._denied
        self._inline = inline
        self._writer: threading.Thread | None = None  # who commits; inline there is one only while a write is in hand
        if not inline:
            self._writer = threading.Thread(target=self._run, name="store-writer", daemon=True)
            self._writer.start()

    # -- for callers, from any thread

    def write(self, entry: Entry | Sequence[Entry], action: Callable[[Connection], T]) -> T:
        """Run the action and append the entries, both or neither; the action's result, after the commit.

        The action must write nowhere else, as it may be undone. Its own exception reaches the caller unchanged;
        AuditError where the log could not be written or the write did not get its turn: then nothing has happened.
        """
        return self.write_indexed(entry, action)[0]

    def write_indexed(self, entry: Entry | Sequence[Entry], action: Callable[[Connection], T]) -> tuple[T, int]:
        """As `write`, with the index of the first entry in the log."""
        entries = (entry,) if isinstance(entry, Entry) else tuple(entry)
        return self._submit(lambda connection: (entries, action(connection)))

    def write_with(self, make: Callable[[Connection], tuple[Sequence[Entry], T]]) -> T:
        """As `write`, for entries that depend on what the action found: it returns them with its result."""
        result: T = self._submit(make)[0]
        return result

    def jot(self, make: Callable[[Connection], tuple[Sequence[Entry], T]]) -> T:
        """As `write_with`, but the entries may be none: for memory of what other parties signed, and nothing else.

        Such memory is no act of this party, and each change of it carries its own proof; if it were logged, two
        parties that witness each other would grow each other's logs for ever. The guard denies every other table.
        """
        result: T = self._submit(make, Mode.MEMORY)[0]
        return result

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on a read-only connection, which sees one committed state.

        Unreadable where the database does not answer.
        """
        try:
            with self._reading.connect() as connection, used_for(connection, Mode.READING):
                return query(connection)
        except DBAPIError as error:
            told = unread(error)
            if told is error:
                raise
            raise told from error

    def receipt(self, index: int) -> Receipt:
        """The entry at this index with its proof in the latest checkpoint."""
        return self.read(lambda connection: self._journal.receipt(connection, index))

    def receipt_of(self, study: str, kind: str, facts: Mapping[str, Any]) -> Receipt:
        """The receipt of the first entry of this kind about a study that holds these facts."""
        return self.read(
            lambda connection: self._journal.receipt(connection, self._journal.find(connection, study, kind, facts))
        )

    def notices(self, hear: Callable[[list[str]], None], missed: Callable[[], None]) -> Notices | None:
        """Words with the other programs on this database; None for SQLite, which has one program only."""
        return Notices(self._engine, hear, missed) if self._engine.dialect.name == "postgresql" else None

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._journal.origin

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the log's checkpoints."""
        return self._journal.public_key

    @property
    def log(self) -> Journal:
        """The log, to be asked inside a query."""
        return self._journal

    def seconds(self) -> int:
        """The present time in whole UTC seconds."""
        return int(self._clock().timestamp())

    def checkpoint(self) -> str:
        """The latest signed checkpoint."""
        return self.read(self._journal.checkpoint)

    def verify(self) -> Report:
        """Verify the whole log from its raw entries."""
        return self.read(self._journal.verify)

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._head.size

    def stop(self, error: AuditError) -> None:
        """Take no write any more: each raises this error. For a log that was found damaged."""
        with self._wake:
            self._stopped = error

    def tail(self) -> tuple[int, float]:
        """How many entries the log has, and the latest one's time (UTC seconds); AuditError where it has none."""
        size, latest = self.read(self._journal.tail)
        if not size:
            raise AuditError("The audit log is empty.", remedy="Nothing has happened yet.")
        return size, datetime.fromisoformat(latest).timestamp()

    def prove(self) -> None:
        """Commit an empty change: AuditError where the log is not at its checkpoint; any other error: not writable."""
        if self._closing or not (self._inline or (self._writer is not None and self._writer.is_alive())):
            raise ConfigurationError("The store is closed.", remedy="Start the program again.")
        if self._stopped is not None:
            raise self._stopped
        with self._transaction() as connection:
            self._journal.follow(connection, self._head)
            touch(connection)

    def close(self) -> None:
        """Refuse new writes, finish those that are queued, and close the connections. Again is no error.

        A disk that hangs is not waited for longer than `CLOSING`: what was not committed was not answered either.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        if threading.current_thread() is not self._writer:
            if self._writer is not None:
                self._writer.join(CLOSING)
            if self._kept is not None:
                self._kept.close()
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- waiting

    def _submit(
        self, make: Callable[[Connection], tuple[Sequence[Entry], T]], mode: Mode = Mode.ACTION
    ) -> tuple[T, int]:
        if threading.current_thread() is self._writer:
            raise AuditError("An action cannot write through the store again.", remedy="Use the action's connection.")
        job = Job(make, mode)
        with self._wake:
            if self._stopped is not None:
                raise AuditError(str(self._stopped.args[0]), remedy=self._stopped.remedy)
            if self._closing:
                raise AuditError("The store is closed; nothing was written.", remedy="Start the program again.")
            self._queue.append(job)
            self._wake.notify()
        if self._inline:
            self._writer = threading.current_thread()
            self._drain()
            self._writer = None
        try:
            return job.answer.result(self._patience)
        except WaitedTooLong:
            if job.answer.done() or not job.answer.cancel():
                # Its turn came: the outcome is certain only after the commit.
                return job.answer.result()
            raise AuditError("The store is too busy; nothing was written.", remedy="Try again later.") from None

    def _denied(self, attempt: Attempt) -> None:
        with self._wake:
            self._attempts[attempt] += 1
            self._alarmed = True
            self._wake.notify()

    # -- the writer thread

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._alarmed or self._closing)
                if not self._queue and not self._alarmed:
                    return
            self._drain()

    def _drain(self) -> None:
        """Commit what waits, a batch at a time."""
        left = True
        while left:
            with self._wake:
                jobs = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
                self._alarmed, left = False, bool(self._queue)
            self._commit(jobs)

    def _commit(self, jobs: list[Job]) -> None:
        """One transaction for all jobs; answers every one of them, whatever happens."""
        batch = Batch(first=self._head.size)
        reported: Counter[Attempt] = Counter()
        began = time.perf_counter()
        appended: Head | None = None
        try:
            with self._transaction() as connection:
                head = self._journal.follow(connection, self._head)
                batch.first = head.size
                for job in jobs:
                    self._perform(connection, job, batch)
                reported = self._report_attempts(batch)
                if batch.encoded:
                    head = appended = self._journal.append(connection, head, batch.encoded)
        except BaseException as error:
            stands = appended is not None and self._stands(appended)
            if appended is None or not stands:
                self._answer_all(jobs, batch, unknown if stands is None else undone, error)
                return
            head = appended
        took = time.perf_counter() - began
        self._head = head
        with self._wake:
            self._attempts -= reported
        for job, result, index in batch.stand:
            job.answer.set_result((result, index))
        for job, problem in batch.failed:
            job.answer.set_exception(unwritten(problem))
        with contextlib.suppress(Exception):  # who watches cannot stop the writer
            self.watching(took, len(batch.stand), batch.encoded)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            try:
                with used_for(connection, Mode.OWNER), connection.begin():
                    yield connection
            except BaseException:
                # Whatever state an action left the connection in, closing it undoes the transaction.
                connection.invalidate()
                raise

    def _stands(self, appended: Head) -> bool | None:
        """Whether a commit that failed, or whose answer was lost, happened after all; None where nobody can tell yet.

        Whoever has the turn after it sees how it ended: the transaction in doubt kept the turn until then.
        """
        until = time.monotonic() + self._patience
        while True:
            try:
                with self._transaction() as connection:
                    return self._journal.holds(connection, appended)
            except Exception:
                if time.monotonic() >= until:
                    return None
                time.sleep(0.1)

    def _perform(self, connection: Connection, job: Job, batch: Batch) -> None:
        """Run one job in its own savepoint."""
        if not job.answer.set_running_or_notify_cancel():
            return
        try:
            with connection.begin_nested():
                with used_for(connection, job.mode) as guard:
                    denied = guard.denied
                    entries, result = job.make(connection)
                if guard.denied != denied:
                    raise AuditError("The action touched the audit log.", remedy="Report this: it is logged.")
                encoded = self._encode(entries, batch.next) if entries or job.mode is not Mode.MEMORY else []
        except BaseException as error:
            batch.failed.append((job, error))
        else:
            batch.stand.append((job, result, batch.next))
            batch.encoded.extend(encoded)
        if not in_transaction(connection):
            raise AuditError("The transaction was ended.", remedy="Check that the disk is not full.")

    def _report_attempts(self, batch: Batch) -> Counter[Attempt]:
        with self._wake:
            attempts = self._attempts.copy()
        entries = [
            Entry(
                "audit.tamper_attempt",
                actor="unknown",
                facts={"operation": attempt.operation, "target": attempt.target, "times": times},
            )
            for attempt, times in attempts.items()
        ]
        if entries:
            batch.encoded.extend(self._encode(entries, batch.next))
        return attempts

    def _encode(self, entries: Sequence[Entry], first: int) -> list[bytes]:
        if not entries:
            raise AuditError("An action without an audit entry.", remedy="Give an entry with every write.")
        now = self._clock()
        if now.tzinfo is None:
            raise AuditError("The clock has no time zone.", remedy="Use a clock in UTC.")
        time = now.astimezone(UTC).isoformat(timespec="milliseconds")
        encoded = [entry.encode(first + place, time) for place, entry in enumerate(entries)]
        if any(len(data) > ENTRY_BYTES_MAX for data in encoded):
            raise AuditError("An audit entry is too long.", remedy="Log hashes and names, not contents.")
        return encoded

    def _answer_all(
        self, jobs: list[Job], batch: Batch, failure: Callable[[BaseException], AuditError], error: BaseException
    ) -> None:
        """No job stands: one that failed by itself hears why, all others what became of the transaction."""
        own = {id(job): problem for job, problem in batch.failed}
        for job in jobs:
            if job.answer.done() or not (job.answer.running() or job.answer.set_running_or_notify_cancel()):
                continue
            job.answer.set_exception(unwritten(own[id(job)]) if id(job) in own else failure(error))

    def _open(self) -> Head:
        try:
            with self._engine.begin() as connection, used_for(connection, Mode.OWNER):
                return self._journal.load(connection)
        except BaseException as error:
            self._engine.dispose()
            if not isinstance(error, OperationalError | ProgrammingError):
                raise
            raise ConfigurationError(
                "The database does not have the audit tables, or cannot be written.", remedy="Run the migrations first."
            ) from error
