// On the audio thread: hands what it hears over, mixed to one channel.

const BLOCK = 512;

declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

class Capture extends AudioWorkletProcessor {
  private block = new Float32Array(BLOCK);
  private used = 0;

  process([channels]: Float32Array[][]): boolean {
    if (!channels || channels.length === 0) return true;
    const frames = channels[0]!.length;
    for (let i = 0; i < frames; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i]!;
      this.block[this.used++] = sum / channels.length;
      if (this.used === BLOCK) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(BLOCK);
        this.used = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
