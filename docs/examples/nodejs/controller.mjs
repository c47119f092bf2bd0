// An under-frequency controller in Node.js, with nothing but what Node brings along.
//
// It learns the site from the inventory file named by RAMPRIG_INVENTORY, polls the frequency of the meter at the point of
// interconnection (Eastron SDM630) over Modbus TCP, opens PDU outlets (Netio PowerPDU) at or below the threshold, and
// closes them one after another once the operator has recalled the load and the frequency is back. It knows nothing of
// the bench: run it beside any site that has an inventory file.

import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const TRIGGER_HZ = Number(process.env.TRIGGER_HZ ?? 59.7);
const RETURN_HZ = TRIGGER_HZ + 0.1; // never return below
const POLL_MS = 50;
const STAGE_MS = 1000; // between two outlets that come back
const TIMEOUT_MS = 250; // of one Modbus request

const FREQUENCY = 0x46; // SDM630, input registers: a float, high word first
const RECALLS = 1; // dispatch block, input register: how many recall messages there were
const FIRST_COIL = 101; // PowerPDU, coil of output 1

// ---- Modbus TCP ------------------------------------------------------------------------------------------------------

/** One device. Requests wait for one another; a connection that was lost is made again by the next request. */
class Modbus {
  #device;
  #socket = null;
  #received = Buffer.alloc(0);
  #waiting = null; // { transaction, resolve, reject }
  #transaction = 0;
  #last = Promise.resolve();

  constructor(device) {
    this.#device = device;
  }

  /** The input registers from `address` on (function 4), as a buffer. */
  async registers(address, count) {
    const reply = await this.#ask(4, address, count);
    if (reply.length !== 1 + 2 * count) throw new Error(`${this.#device.id}: ${reply.length} bytes for ${count} registers`);
    return reply.subarray(1);
  }

  /** Sets one coil (function 5). */
  async coil(address, on) {
    await this.#ask(5, address, on ? 0xff00 : 0x0000);
  }

  #ask(code, address, value) {
    const turn = this.#last.then(() => this.#exchange(code, address, value));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #exchange(code, address, value) {
    const timer = setTimeout(() => this.#drop(new Error(`${this.#device.id}: no answer in ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    try {
      await this.#connected();
      const request = Buffer.alloc(12);
      this.#transaction = (this.#transaction + 1) & 0xffff;
      request.writeUInt16BE(this.#transaction, 0);
      request.writeUInt16BE(6, 4); // bytes that follow; 2-3 are the protocol, 0
      request.writeUInt8(this.#device.unit, 6);
      request.writeUInt8(code, 7);
      request.writeUInt16BE(address, 8);
      request.writeUInt16BE(value, 10);
      const reply = new Promise((resolve, reject) => {
        this.#waiting = { transaction: this.#transaction, resolve, reject };
      });
      this.#socket.write(request);
      const pdu = await reply;
      if (pdu[0] === (code | 0x80)) throw new Error(`${this.#device.id}: exception ${pdu[1]}`);
      if (pdu[0] !== code) throw new Error(`${this.#device.id}: function ${pdu[0]} for ${code}`);
      return pdu.subarray(1);
    } finally {
      clearTimeout(timer);
    }
  }

  #connected() {
    if (this.#socket !== null) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#device.address, port: this.#device.port, noDelay: true });
      this.#socket = socket;
      this.#received = Buffer.alloc(0);
      this.#waiting = { transaction: -1, resolve, reject };
      socket.once("connect", resolve);
      socket.on("data", (data) => this.#take(data));
      socket.on("error", (error) => socket === this.#socket && this.#drop(error));
      socket.on("close", () => socket === this.#socket && this.#drop(new Error(`${this.#device.id}: hung up`)));
    });
  }

  /** Whatever the network does to a frame: it is taken when it is whole, and a late reply to an older request is not. */
  #take(data) {
    this.#received = Buffer.concat([this.#received, data]);
    while (this.#received.length >= 8) {
      const length = 6 + this.#received.readUInt16BE(4);
      if (this.#received.length < length) return;
      const transaction = this.#received.readUInt16BE(0);
      const pdu = Buffer.from(this.#received.subarray(7, length));
      this.#received = this.#received.subarray(length);
      if (this.#waiting?.transaction === transaction) this.#waiting.resolve(pdu);
    }
  }

  #drop(error) {
    this.#socket?.destroy();
    this.#socket = null;
    this.#waiting?.reject(error);
    this.#waiting = null;
  }
}

// ---- the site --------------------------------------------------------------------------------------------------------

const inventory = JSON.parse(readFileSync(process.env.RAMPRIG_INVENTORY, "utf8"));
const meter = new Modbus(inventory.meters.find((one) => one.measures === "poi"));
const dispatch = new Modbus(inventory.signals.find((one) => one.kind === "dispatch"));
const nominal = new Map(inventory.miners.map((miner) => [miner.id, miner.nominal_w]));

/** As many outlets as it takes to deliver what was sold, each with its wish: open or closed, and whether it was done. */
function committed() {
  const outlets = [];
  let watts = 0;
  for (const entry of inventory.pdus) {
    const pdu = new Modbus(entry);
    for (const outlet of entry.outlets) {
      if (watts >= 1.02 * inventory.site.commitment_w) return outlets;
      watts += outlet.miners.reduce((sum, miner) => sum + nominal.get(miner), 0);
      outlets.push({ id: outlet.id, pdu, coil: FIRST_COIL + outlet.index - 1, closed: true, done: true });
    }
  }
  return outlets;
}

const outlets = committed();

async function frequency() {
  const hz = (await meter.registers(FREQUENCY, 2)).readFloatBE(0);
  const nominalHz = inventory.site.nominal_hz;
  if (!(hz > 0.8 * nominalHz && hz < 1.2 * nominalHz)) throw new Error(`the meter shows ${hz} Hz`); // also for NaN
  return hz;
}

async function recalls() {
  return (await dispatch.registers(RECALLS, 1)).readUInt16BE(0);
}

/** Carries out what is wished and not done yet; what fails is tried again at the next poll. PDUs work side by side. */
async function obey() {
  const undone = outlets.filter((outlet) => !outlet.done);
  await Promise.all(
    undone.map(async (outlet) => {
      const { closed } = outlet;
      await outlet.pdu.coil(outlet.coil, closed);
      outlet.done = outlet.closed === closed;
    }),
  );
}

function wish(outlet, closed) {
  if (outlet.closed !== closed) Object.assign(outlet, { closed, done: false });
}

// ---- the controller --------------------------------------------------------------------------------------------------

let recalled = null; // as of the last time the load went
let staged = 0; // when the last outlet came back, milliseconds
while (recalled === null) {
  try {
    await frequency();
    recalled = await recalls();
  } catch (error) {
    console.error(error.message);
    await sleep(POLL_MS);
  }
}
console.log("ready");

process.on("SIGTERM", () => process.exit(0)); // load stays as it is: it is off for a reason, and ending is no recall

for (;;) {
  try {
    const hz = await frequency();
    const off = outlets.filter((outlet) => !outlet.closed);
    if (hz <= TRIGGER_HZ) {
      if (off.length < outlets.length) console.log(`${hz.toFixed(3)} Hz: opening ${outlets.length} outlets`);
      outlets.forEach((outlet) => wish(outlet, false));
      await obey();
      recalled = await recalls();
    } else {
      if (off.length > 0 && hz >= RETURN_HZ && performance.now() - staged >= STAGE_MS && (await recalls()) !== recalled) {
        console.log(`recalled: closing ${off[0].id}`);
        wish(off[0], true);
        staged = performance.now();
      }
      await obey();
    }
  } catch (error) {
    console.error(error.message); // a device is silent: everything stays as it is until the next poll
  }
  await sleep(POLL_MS);
}
