"""What generates text: one small interface (``base.Engine``), one module an implementation."""
