"""What is heard in a song: MFCC, beats, counts."""
