package io.streamgauge;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.types.Row;

/**
 * Gathers the records of some milliseconds into one row (shard, batch) for each shard; batch_format.py says what the bytes of a batch are.
 *
 * <p>All records are passed on before the barrier of a checkpoint, so there is no state. How long records are gathered is measured by a
 * clock that no one can set: the windows of Flink's SQL end empty when the wall clock goes back (docs/adr/024).
 *
 * <p>Flink's own compiler translates this file when a job is submitted. It knows no lambdas, and it needs casts where javac needs none.
 */
public final class RecordBatches extends AbstractStreamOperator
    implements OneInputStreamOperator, ProcessingTimeService.ProcessingTimeCallback {

  private static final long serialVersionUID = 1L;
  private static final long BEAT = 500; // milliseconds between two heartbeats of a shard
  private static final long MOST_WAIT = 50; // milliseconds
  private static final int MOST_RECORDS = 10000;
  private static final int MOST_BYTES = 4 << 20; // Flink writes rows above 5 MB to a file before it reads them

  private final long window;
  private final int columns;
  private final int[] heartbeatsTo;

  private transient Map batches;
  private transient long wait;
  private transient boolean waiting; // there is one timer at most, also when a barrier or a full batch passes records on earlier

  /**
   * @param window milliseconds for which records are gathered, if what follows keeps up
   * @param columns number of columns of bytes: the payload, then further ones
   * @param heartbeatsTo shards that get a batch without records twice a second, so that time goes on when no event comes
   */
  public RecordBatches(long window, int columns, int[] heartbeatsTo) {
    this.window = window;
    this.columns = columns;
    this.heartbeatsTo = heartbeatsTo;
  }

  @Override
  public void open() throws Exception {
    super.open();
    batches = new LinkedHashMap();
    wait = window;
    if (heartbeatsTo.length > 0 && getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0) {
      callAfter(BEAT, new Beat());
    }
  }

  private void callAfter(long milliseconds, ProcessingTimeService.ProcessingTimeCallback callback) {
    ProcessingTimeService service = getProcessingTimeService();
    service.registerTimer(service.getCurrentProcessingTime() + milliseconds, callback);
  }

  /** Takes a row: shard, position, timestamp, then the columns. */
  @Override
  public void processElement(StreamRecord element) throws Exception {
    Row row = (Row) element.getValue();
    Integer shard = (Integer) row.getField(0);
    if (!waiting) {
      callAfter(wait, this);
      waiting = true;
    }
    Batch batch = (Batch) batches.get(shard);
    if (batch == null) {
      batch = new Batch(columns);
      batches.put(shard, batch);
    }
    batch.add(row);
    if (batch.isFull()) {
      batches.remove(shard);
      emit(shard, batch);
    }
  }

  @Override
  public void onProcessingTime(long time) throws Exception {
    waiting = false;
    long before = System.nanoTime();
    passOn();
    // If what follows is slow, passing on takes long. Larger batches cost less for each record.
    wait = Math.max(window, Math.min(MOST_WAIT, (System.nanoTime() - before) / 1000000L));
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpoint) throws Exception {
    passOn();
  }

  @Override
  public void finish() throws Exception {
    passOn();
    super.finish();
  }

  private void passOn() {
    Iterator entries = batches.entrySet().iterator();
    while (entries.hasNext()) {
      Map.Entry entry = (Map.Entry) entries.next();
      emit((Integer) entry.getKey(), (Batch) entry.getValue());
    }
    batches.clear();
  }

  private void emit(Integer shard, Batch batch) {
    output.collect(new StreamRecord(Row.of(new Object[] {shard, batch.bytes()})));
  }

  private final class Beat implements ProcessingTimeService.ProcessingTimeCallback {
    @Override
    public void onProcessingTime(long time) throws Exception {
      for (int i = 0; i < heartbeatsTo.length; ++i) {
        emit(Integer.valueOf(heartbeatsTo[i]), new Batch(columns));
      }
      callAfter(BEAT, this);
    }
  }

  /** The records of a shard. */
  private static final class Batch {
    private final int columns;
    private final ArrayList rows = new ArrayList();
    private int size;

    Batch(int columns) {
      this.columns = columns;
    }

    private static byte[] column(Row row, int number) {
      return (byte[]) row.getField(3 + number);
    }

    void add(Row row) {
      for (int i = 0; i < columns; ++i) {
        byte[] value = column(row, i);
        size += value == null ? 0 : value.length;
      }
      rows.add(row);
    }

    boolean isFull() {
      return rows.size() >= MOST_RECORDS || size >= MOST_BYTES;
    }

    byte[] bytes() {
      int n = rows.size();
      ByteBuffer all = ByteBuffer.allocate(4 + n * (16 + 4 * columns) + size).order(ByteOrder.LITTLE_ENDIAN);
      all.putInt(n);
      for (int number = 1; number <= 2; ++number) {
        for (int i = 0; i < n; ++i) {
          all.putLong(((Long) ((Row) rows.get(i)).getField(number)).longValue());
        }
      }
      for (int number = 0; number < columns; ++number) {
        for (int i = 0; i < n; ++i) {
          byte[] value = column((Row) rows.get(i), number);
          all.putInt(value == null ? -1 : value.length);
        }
        for (int i = 0; i < n; ++i) {
          byte[] value = column((Row) rows.get(i), number);
          if (value != null) {
            all.put(value);
          }
        }
      }
      return all.array();
    }
  }
}
