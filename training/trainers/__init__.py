"""What trains: supervised fine-tuning and preference training, both on TRL."""
